/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * aml.h - writes ACPI Machine Language (ACPI 6.4 chapter 20) into a caller's buffer.
 *
 * Everything that has a PkgLength is opened with a begin function, which returns a mark, and closed
 * with aml_end(mark), which puts the length in. Marks nest. Running out of buffer is remembered, not
 * acted upon: look at aml_ok() once at the end.
 */
#ifndef MICA_AML_H
#define MICA_AML_H

#include "base/base.h"

struct aml {
	u8 *buf;
	size_t len, cap;
	bool full;
};

void aml_init(struct aml *a, void *buf, size_t cap);
static inline bool aml_ok(const struct aml *a)
{
	return !a->full;
}

/* Paths are written as in ASL: "\\_SB", "COM1", "\\_SB.PCI0"; segments are padded to four characters. */
size_t aml_scope(struct aml *a, const char *path);
size_t aml_device(struct aml *a, const char *path);
size_t aml_package(struct aml *a, unsigned elements);
/* A buffer of up to 255 bytes that holds resource descriptors: fill with aml_res_*(), close with aml_end_resources().
 */
size_t aml_resources(struct aml *a);
void aml_end(struct aml *a, size_t mark);
void aml_end_resources(struct aml *a, size_t mark);

/* Name (path, ...): the object follows. */
void aml_name(struct aml *a, const char *path);
void aml_int(struct aml *a, u64 v);
void aml_string(struct aml *a, const char *s);
/* "PNP0A08": a compressed EISA id, as _HID wants it. */
void aml_eisaid(struct aml *a, const char *id);

/* A name that stands for the object; one that an operator makes. */
void aml_ref(struct aml *a, const char *path);
void aml_named(struct aml *a, const char *name);

/*
 * What methods are made of (20.2.5). An operator is followed by its operands: objects, references, aml_arg(). Methods
 * are serialized, as they may make names of their own.
 */
size_t aml_method(struct aml *a, const char *path, unsigned args);
size_t aml_if(struct aml *a);        /* condition, statements; aml_end() */
void aml_return(struct aml *a);      /* object */
void aml_store(struct aml *a);       /* object, where to */
void aml_and(struct aml *a);         /* object, object, where to or aml_nowhere() */
void aml_notify(struct aml *a);      /* reference, value */
void aml_dword_field(struct aml *a); /* buffer, byte offset, aml_named(): CreateDWordField */
void aml_arg(struct aml *a, unsigned i);
void aml_nowhere(struct aml *a);

/* OperationRegion and Field (19.6.100, 19.6.48). Units follow aml_field(), in bits; then aml_end(). */
enum { AML_PCI_CONFIG = 2 };
enum { AML_BYTE_ACCESS = 1 };
void aml_region(struct aml *a, const char *name, u8 space, unsigned off, unsigned bytes);
size_t aml_field(struct aml *a, const char *region, u8 access);
void aml_field_unit(struct aml *a, const char *name, unsigned bits);
void aml_field_gap(struct aml *a, unsigned bits);

/* Resource descriptors (ACPI 6.4 chapter 6.4). Ranges are given as first and last, inclusive. */
void aml_res_io(struct aml *a, u16 base, u8 bytes);
void aml_res_irq(struct aml *a, unsigned irq); /* ISA manner: edge, active high, exclusive */
/* Level-triggered, active high, shared; a bit for each line. The first one's number is the dword AML_RES_IRQ_AT bytes
 * into the descriptor. */
#define AML_RES_IRQ_AT 5
void aml_res_shared_irqs(struct aml *a, u32 lines);
void aml_res_mem_fixed(struct aml *a, u32 base, u32 bytes);
void aml_res_bus_window(struct aml *a, u16 first, u16 last);
void aml_res_io_window(struct aml *a, u16 first, u16 last);
void aml_res_mem_window(struct aml *a, u32 first, u32 last);

#endif
