"""What the checks of all SDKs share: each is a function, run in the order written, and its name is what it shows."""

import sys
import traceback

_checks = []


def check(function):
    """Makes a function a check; it fails if it raises."""
    _checks.append(function)
    return function


def run(sdk):
    """Runs all checks of this SDK and ends the program: 0 if all passed."""
    print(sdk)
    failed = 0
    for function in _checks:
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"  PASS  {name}")
        except Exception:
            failed += 1
            print(f"  FAIL  {name}")
            print("        " + traceback.format_exc().rstrip().replace("\n", "\n        "))
    print(f"{len(_checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
