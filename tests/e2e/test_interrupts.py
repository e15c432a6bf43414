# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that is told to do without ACPI, I/O APIC, local APIC or MSI, and any of them together: disk, network and random
numbers work by whatever way interrupts have left."""
import hashlib
import os
import re

import pytest
from test_tiny import ends, says

MSI, APIC, PIC = r"PCI-MSI", r"IO-APIC +\d+-fasteoi", r"XT-PIC"
WAYS = {  # kernel parameters: how virtio interrupts then
    "maxcpus=1": MSI,
    "noapic": MSI,
    "pci=nomsi": APIC,
    "nolapic": PIC,
    "noapic pci=nomsi": PIC,
    "pci=noacpi": PIC,
    "acpi=off": PIC,
    "acpi=off nolapic pci=nomsi": PIC,
}


@pytest.mark.parametrize("way", WAYS)
def test_devices(run, tiny, web, tmp_path, way):
    content, first, second = os.urandom(100_000), os.urandom(2 << 20), os.urandom(3 << 20)
    (web.root / "hello").write_bytes(content)
    (tmp_path / "a").write_bytes(first)
    (tmp_path / "b").write_bytes(second)
    # Without ACPI a guest cannot switch itself off, but reset the machine.
    vm = run(*tiny(f"disks=1 rng=1 port={web.port} end=reboot {way}", cpus=2), "--disk", f"{tmp_path}/a,readonly=on",
             "--disk", f"{tmp_path}/b", "--net", "user", "--no-reboot")
    for name, data in (("vda", first), ("vdb", second)):
        assert says(vm, "sum") == f"{name} {len(data)} {hashlib.md5(data).hexdigest()}"
    assert says(vm, "wrote") == "yes"
    assert says(vm, "dhcp") == "10.0.2.15 10.0.2.2 10.0.2.3"
    assert says(vm, "fetched") == hashlib.md5(content).hexdigest()
    assert says(vm, "rng") == "64"
    kinds = [says(vm, "irq") for _ in range(3)]
    says(vm, "done")
    ends(vm, 3)
    for device, kind in zip(("virtio0", "virtio1", "virtio2"), kinds):
        assert re.match(rf"{device} .*{WAYS[way]}", kind), kinds
    assert "@insmod-failed" not in vm.log
    assert (tmp_path / "b").read_bytes() == second[:1 << 20] + b"M" * (1 << 20) + second[2 << 20:]
