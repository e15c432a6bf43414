/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vec_class.h - what a vector or x87 instruction needs of CR0, CR4 and XCR0 to run. */
#ifndef MICA_SOFT_VEC_CLASS_H
#define MICA_SOFT_VEC_CLASS_H

/* cls: the low half is the one VEC_OK_* bit needed */
#define VC_OK 0x0fu
#define VC_MMX 0x10u       /* CR0.EM gives #UD, not #NM */
#define VC_X87_PTR 0x20u   /* x87, not control: sets the instruction and data pointers */
#define VC_X87_STORE 0x40u /* the stub returns FSW: an unmasked fault keeps memory as it was */
#define VC_WAITS 0x80u     /* looks for pending x87 exceptions before anything else */

#endif
