/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layout.h - the board's address map and interrupt numbers: the one place they are written. */
#ifndef MICA_LAYOUT_H
#define MICA_LAYOUT_H

/* Physical addresses. Which of them are memory: memory.h. */
#define LAYOUT_RAM_LOW_MAX 0xc0000000ull /* RAM below 4 GiB ends here at the latest, */
#define LAYOUT_RAM_HIGH 0x100000000ull   /* ... and goes on here */
#define LAYOUT_EBDA 0x9fc00ull           /* ACPI RSDP lives at 0xe0000; EBDA pointer for scanners */
#define LAYOUT_VGA 0xa0000ull            /* where a screen's memory is seen */
#define LAYOUT_VGA_END 0xc0000ull
#define LAYOUT_RSDP 0xe0000ull
#define LAYOUT_ACPI 0xe0100ull /* tables, up to 0xeffff */
#define LAYOUT_ROM 0xf0000ull  /* where a PC has its BIOS: see rom.h */
#define LAYOUT_ROM_END 0x100000ull
#define LAYOUT_PIR 0xf0000ull /* PCI IRQ routing table */
#define LAYOUT_MP 0xf0400ull  /* MultiProcessor table */
#define LAYOUT_MP_END 0xf2000ull
#define LAYOUT_SMBIOS 0xf2000ull /* entry point, tables */
#define LAYOUT_SMBIOS_END 0xf4000ull
#define LAYOUT_SLOTS 0xd0000000ull /* of the board `micro` (slots.h) */
#define LAYOUT_SLOT_BYTES 0x1000u
#define LAYOUT_SLOTS_MAX 64u
#define LAYOUT_SLOT_PINS 8u
#define LAYOUT_PCI_MMIO 0xc0000000ull /* 32-bit BAR window */
#define LAYOUT_PCI_MMIO_END 0xdfffffffull
#define LAYOUT_ECAM 0xe0000000ull /* 1 MiB a bus */
#define LAYOUT_ECAM_BYTES 0x100000ull
#define LAYOUT_PCI_LAST_BUS 0 /* Linux probes every slot of every bus up to this one at boot: 32 accesses a bus */
#define LAYOUT_IOAPIC 0xfec00000ull
#define LAYOUT_GENERATION 0xfec10000ull /* a page of memory: the VM's generation */
#define LAYOUT_HPET 0xfed00000ull
#define LAYOUT_HPET_BYTES 0x400ull
#define LAYOUT_TPM 0xfed40000ull
#define LAYOUT_TPM_BYTES 0x5000ull
#define LAYOUT_LAPIC 0xfee00000ull

/* The same with firmware, which expects Intel's Q35 board: it says itself where ECAM is (pam.h), and puts BARs where
 * there is room. */
#define LAYOUT_FW_RAM_LOW_MAX 0x80000000ull
#define LAYOUT_FW_VGA 0xa0000ull     /* no memory up to here, up to where PAM begins */
#define LAYOUT_PAM 0xc0000ull        /* up to 1 MiB */
#define LAYOUT_FW_END 0x100000000ull /* its ROM ends here */

/* Legacy ports */
#define LAYOUT_PIC1 0x20
#define LAYOUT_PIT 0x40
#define LAYOUT_KEYBOARD_DATA 0x60
#define LAYOUT_KEYBOARD 0x64
#define LAYOUT_RTC 0x70
#define LAYOUT_PIC2 0xa0
#define LAYOUT_IDE1 0x1f0
#define LAYOUT_IDE1_CONTROL 0x3f6
#define LAYOUT_IDE2 0x170
#define LAYOUT_IDE2_CONTROL 0x376
#define LAYOUT_DISPI 0x1ce /* the Bochs display interface */
#define LAYOUT_VGA_PORTS 0x3b0
#define LAYOUT_VGA_PORTS_N 0x30
#define LAYOUT_UART2 0x2f8
#define LAYOUT_UART1 0x3f8
#define LAYOUT_RESET 0xcf9
#define LAYOUT_PCI_CFG 0xcf8
#define LAYOUT_ELCR 0x4d0
#define LAYOUT_DEBUG_EXIT 0xf4
#define LAYOUT_DEBUGCON 0x402 /* where firmware writes what it does (isa-debugcon) */
#define LAYOUT_FW_CFG 0x510
#define LAYOUT_FW_CFG_DMA 0x514
#define LAYOUT_ROM_CALL 0x5e0   /* what was called in the ROM (rom.h) */
#define LAYOUT_ACPI_PM 0x600    /* PM1a event +0 (4), PM1a control +4 (2), PM timer +8 (4), GPE0 +0x20 (8) */
#define LAYOUT_GPE_GENERATION 5 /* the general-purpose event that says it is another one */
#define LAYOUT_SLP_TYP_S5 5     /* what \_S5 holds and PM1a control takes for soft-off */

/* GSIs */
#define LAYOUT_GSI_PIT 0 /* arrives at I/O APIC pin 2 (MADT override) */
#define LAYOUT_GSI_KEYBOARD 1
#define LAYOUT_GSI_UART2 3
#define LAYOUT_GSI_UART1 4
#define LAYOUT_GSI_HPET1 6 /* a PC's floppy drives and printer, which this board has not */
#define LAYOUT_GSI_HPET2 7
#define LAYOUT_GSI_RTC 8
#define LAYOUT_GSI_SCI 9
#define LAYOUT_GSI_MOUSE 12
#define LAYOUT_GSI_IDE1 14
#define LAYOUT_GSI_IDE2 15
#define LAYOUT_GSI_PCI 16 /* the PCI wires, eight at most; without PCI, slots' */
#define LAYOUT_GSI_COUNT 24

/* PCI. Slot 0 is the host bridge. */
#define LAYOUT_LPC_SLOT 31
#define LAYOUT_PIIX_SLOT 1 /* of the board `pc` */
#define LAYOUT_PIIX_IDE (LAYOUT_PIIX_SLOT << 3 | 1)
#define LAYOUT_PIIX_PM (LAYOUT_PIIX_SLOT << 3 | 3)
/* The 8259 lines that a guest may steer a wire to. */
#define LAYOUT_PIRQ_IRQS (1u << 5 | 1u << 10 | 1u << 11)

#endif
