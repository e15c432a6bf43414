# SPDX-License-Identifier: GPL-2.0-or-later
# Some of NumPy's own tests: what failed, and how many of each kind.
cd /tmp
for t in core/tests/test_half core/tests/test_longdouble core/tests/test_getlimits random/tests/test_direct; do
	timeout 1500 python3 -m pytest -q -p no:cacheprovider -p no:randomly --tb=line -x --maxfail=50 -rfE -W ignore -k 'not slow and not memory and not huge' \
		"/usr/lib/python3/dist-packages/numpy/$t$([ -e /usr/lib/python3/dist-packages/numpy/$t.py ] && echo .py)" >out 2>&1
	echo "$t: status $?"
	grep -E '^(FAILED|ERROR) ' out | sed 's/ - .*//'
	tail -n 1 out | sed -E 's/ in [0-9.]+s.*//'
done
