/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_engine.h - which engine a test runs on: MICA_TEST_ENGINE=kvm in the environment, else the software engine. */
#ifndef MICA_TEST_ENGINE_H
#define MICA_TEST_ENGINE_H

#include "cpu/cpu.h"

static inline enum cpu_engine_kind test_engine(void)
{
	const char *name = getenv("MICA_TEST_ENGINE");

	return name && !strcmp(name, "kvm") ? CPU_ENGINE_KVM : CPU_ENGINE_SOFT;
}

#endif
