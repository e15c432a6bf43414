/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hostfwd.c - the text form of a forwarded port. */
#include "net/net.h"

#include <arpa/inet.h>

/* 1..65535, digits only. *s is left behind the digits. */
static int port(const char **s, u16 *out)
{
	unsigned v = 0, n = 0;

	for (; **s >= '0' && **s <= '9' && n < 6; (*s)++, n++)
		v = v * 10 + (unsigned)(**s - '0');
	if (!n || n > 5 || v < 1 || v > 65535)
		return -EINVAL;
	*out = (u16)v;
	return 0;
}

int net_hostfwd_parse(struct net_hostfwd *out, const char *text, struct err *e)
{
	static const char form[] = MSG("use tcp:[ADDR]:PORT-:PORT or udp:[ADDR]:PORT-:PORT, as in tcp::2222-:22");
	struct net_hostfwd f = { 0 };
	struct in_addr a;
	const char *s = text;

	if (strncmp(s, "udp:", 4) == 0)
		f.udp = true;
	else if (strncmp(s, "tcp:", 4) != 0)
		return err_set(e, EINVAL, "port forward '%s': no tcp: or udp: in front; %s", text, form);
	s += 4;

	const char *colon = strchr(s, ':');
	if (!colon)
		return err_set(e, EINVAL, "port forward '%s': no host port; %s", text, form);
	size_t n = (size_t)(colon - s);
	if (n >= sizeof(f.host_addr))
		return err_set(e, EINVAL, "port forward '%s': the host address is too long; %s", text, form);
	memcpy(f.host_addr, s, n);
	if (n && inet_pton(AF_INET, f.host_addr, &a) != 1)
		return err_set(e, EINVAL, "port forward '%s': '%s' is not an IPv4 address of this host; %s", text,
			       f.host_addr, form);
	s = colon + 1;
	if (port(&s, &f.host_port) < 0 || *s != '-')
		return err_set(e, EINVAL, "port forward '%s': the host port must be 1 to 65535; %s", text, form);
	s++;
	if (strncmp(s, "10.0.2.15:", 10) == 0)
		s += 9;
	if (*s != ':')
		return err_set(e, EINVAL, "port forward '%s': the guest's address is always 10.0.2.15; %s", text, form);
	s++;
	if (port(&s, &f.guest_port) < 0 || *s)
		return err_set(e, EINVAL, "port forward '%s': the guest port must be 1 to 65535; %s", text, form);
	*out = f;
	return 0;
}
