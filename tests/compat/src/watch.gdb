# SPDX-License-Identifier: GPL-2.0-or-later
# gdb: breakpoints, hardware and software watchpoints, single steps, calls into the program, execution backwards, a change of its flow.
set pagination off
set confirm off
set debuginfod enabled off
# The tree may have symbols of the C library for others.
set debug-file-directory /none
set startup-with-shell off
set width 0
break main
run
watch watched
continue
continue
continue
delete 2
hbreak add if a == 3
continue
info args
finish
delete 3
watch pairs[2].n if pairs[2].n > 9
continue
continue
delete 4
watch *(short *)&text[20]
continue
delete 5
rwatch read_only
continue
delete 6
awatch watched
continue
delete 7
break recurse if n == 1
continue
backtrace
delete
print recurse(5)
print add(2, 3) * 2
set $steps = 0
while $steps < 60
stepi
set $steps = $steps + 1
end
printf "steps %d in %s\n", $steps, "recurse and its callers"
frame function main
delete
break add
run
record
next
next
reverse-step
info locals
record stop
delete
set can-use-hw-watchpoints 0
watch watched
continue
continue
delete
catch syscall exit_group
continue
set var text = "changed"
print text
kill
