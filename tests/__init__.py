"""The tests mirror the package; `address_plan` names the addresses, `build` makes objects in one line each."""
