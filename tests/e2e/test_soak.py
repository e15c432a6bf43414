# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/soak: what it looks for it finds, and what is well it leaves alone."""
import os
import subprocess

import pytest
from conftest import BOOT, ENGINE, TOP


@pytest.mark.skipif(ENGINE != "soft", reason="the soak is of the software engine")
def test_injected_faults_are_found(mica, image, tmp_path):
    if subprocess.run(["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--mount", "true"],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this host gives no mount namespace")
    for name in ("mica", "mica-vmm", "mica-net", "mica-slirp"):
        os.symlink(os.path.join(os.path.dirname(mica), name), tmp_path / name)
    done = subprocess.run([os.path.join(TOP, "bench", "soak"), "--build", str(tmp_path), "--image", image, "--self-test", "--limit", str(BOOT),
                           "--memory", "1536", "--only", "cpus|processes"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert "all injected faults were found" in done.stdout
