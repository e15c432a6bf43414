# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/engine: its workloads compute the same in the guest as on the host. Short: this is about results, not times."""
import json
import os
import subprocess

import pytest
from conftest import BOOT, ENGINE, TOP


@pytest.mark.skipif(ENGINE != "soft", reason="the bench is of the software engine")
def test_workloads_agree(mica, image, tmp_path):
    if subprocess.run(["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--mount", "true"],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this host gives no mount namespace")
    # A build folder of the test's own for what the bench builds and finds; compile takes long and is gcc's own affair.
    for name in ("mica", "mica-vmm", "mica-net", "mica-slirp"):
        os.symlink(os.path.join(os.path.dirname(mica), name), tmp_path / name)
    done = subprocess.run([os.path.join(TOP, "bench", "engine"), "--build", str(tmp_path), "--image", image, "--sides", "native,mica",
                           "--rounds", "1", "--seconds", "0.004", "--limit", str(BOOT), "--only", "^(?!further/compile|boot)"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # Its clock check is for quiet machines.
    with open(tmp_path / "bench" / "engine.json", encoding="utf-8") as f:
        result = json.load(f)
    wrong = [p for p in result["problems"] if "by its clock" not in p]
    assert not wrong, "\n".join(wrong)
    assert len(result["work"]) > 30, done.stdout
    assert all(len(w["seconds"]["mica"]) == 1 for n, w in result["work"].items()), done.stdout
