// Live numbers of the overview; everything else works without a script.
"use strict";

const EVERY = 2000; // milliseconds
const live = document.querySelector("[data-live]");

function shown(value) {
  const digits = value < 100 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

async function refresh() {
  if (document.hidden) return;
  try {
    const response = await fetch("/live.json", { headers: { Accept: "application/json" } });
    if (!response.ok) return;
    const page = await response.json();
    for (const element of live.querySelectorAll("[data-key]")) {
      const value = page[element.dataset.key];
      if (typeof value === "number") element.textContent = shown(value);
    }
    live.classList.remove("stale");
  } catch {
    live.classList.add("stale"); // the server is away; the numbers are the last ones
  }
}

if (live) setInterval(refresh, EVERY);
