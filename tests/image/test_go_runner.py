"""image/go-runner does what the go-runner of Kubernetes' images does."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = (sys.executable, str(Path(__file__).parents[2] / "image" / "go-runner"))
PROGRAM = ("sh", "-c", "echo out; echo err >&2; exit 3")


def run(*words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    done = subprocess.run((*RUNNER, *words), capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("flags", "out", "err", "logged"),
    [
        (("--log-file={}",), "", "", "out\nerr\n"),
        (("-log-file", "{}", "-also-stdout"), "out\nerr\n", "", "out\nerr\n"),
        (("--log-file={}", "--also-stdout=true", "--redirect-stderr=false"), "out\n", "err\n", "out\n"),
        (("--log-file={}", "--also-stdout=false", "--redirect-stderr=false"), "", "err\n", "out\n"),
        (("--redirect-stderr=false",), "out\n", "err\n", None),
        (("--log-file=",), "out\nerr\n", "", None),
    ],
)
def test_where_output_goes(flags: tuple[str, ...], out: str, err: str, logged: str | None, tmp_path: Path) -> None:
    """Into the file, to standard output too if asked for; standard error with it unless that is switched off.

    The program's exit status is ours.
    """
    log = tmp_path / "kube-proxy.log"
    words = [flag.format(log) for flag in flags]
    assert run(*words, "--", *PROGRAM) == (3, out, err)
    assert (log.read_text() if log.exists() else None) == logged


def test_the_file_is_appended_to(tmp_path: Path) -> None:
    """What an earlier container has written stays; ``--`` may be left out."""
    log = tmp_path / "log"
    log.write_text("before\n")
    assert run(f"--log-file={log}", "echo", "-n", "now")[0] == 0
    assert log.read_text() == "before\nnow"


@pytest.mark.parametrize("also", ["true", "false"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_program(number: signal.Signals, also: str, tmp_path: Path) -> None:
    """Which ends as it likes; the kubelet stops Pods with SIGTERM."""
    program = f"""
import signal, sys
signal.signal({number.value}, lambda *_: sys.exit(7))
print("up", flush=True)
signal.pause()
"""
    log = tmp_path / "log"
    words = (*RUNNER, f"--log-file={log}", f"--also-stdout={also}", "--", sys.executable, "-c", program)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        if also == "true":
            assert runner.stdout.readline() == b"up\n"
        else:
            follow = ("tail", "-F", "-n", "+1", log)
            with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tail:
                assert tail.stdout is not None
                assert tail.stdout.readline() == b"up\n"
                tail.terminate()
        runner.send_signal(number)
        assert runner.wait(30) == 7


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "no program to run"),
        (("--log-file=x",), "no program to run"),
        (("--nope", "true"), "unknown flag --nope"),
        (("--also-stdout=maybe", "true"), "'maybe' is neither true nor false"),
        (("--log-file=/nowhere/x", "true"), "cannot write /nowhere/x"),
        (("/nowhere/program",), "cannot run /nowhere/program"),
    ],
)
def test_mistakes(words: tuple[str, ...], problem: str) -> None:
    """One line says what is wrong."""
    status, out, err = run(*words)
    assert (status, out) == (1, "")
    assert err.startswith("go-runner: ")
    assert problem in err
