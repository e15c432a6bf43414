/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd.h - the commands of mica. Each returns an exit status (vmm/exit_status.h). */
#ifndef MICA_CMD_H
#define MICA_CMD_H

#include <stdio.h>

/* argv[0] is the command's own name. */
int cmd_run(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_screenshot(int argc, char **argv);
int cmd_type(int argc, char **argv);
int cmd_sendkey(int argc, char **argv);
int cmd_insert(int argc, char **argv);
int cmd_eject(int argc, char **argv);
int cmd_image(int argc, char **argv);
/* Their --help. */
void doctor_help(FILE *f);
void save_help(FILE *f);
void screenshot_help(FILE *f);
void type_help(FILE *f);
void sendkey_help(FILE *f);
void insert_help(FILE *f);
void eject_help(FILE *f);
void image_help(FILE *f);

#endif
