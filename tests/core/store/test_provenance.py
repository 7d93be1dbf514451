"""A run records the device that it has used, without starting one."""

from __future__ import annotations

import subprocess
import sys


def test_describing_the_current_device_does_not_load_torch() -> None:
    code = (
        "import sys; from usgan_cli.core.store.provenance import current_device; print(current_device()); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "cpu\n"), done.stderr
