# SPDX-License-Identifier: GPL-2.0-or-later
# NumPy's own tests: what failed, and how many of each kind.
cd /tmp
for t in core/tests/test_umath core/tests/test_ufunc core/tests/test_numeric core/tests/test_half core/tests/test_simd core/tests/test_scalarmath core/tests/test_longdouble \
	core/tests/test_einsum core/tests/test_getlimits core/tests/test_casting_unittests linalg/tests/test_linalg fft random/tests/test_random random/tests/test_direct lib/tests/test_function_base; do
	timeout 1500 python3 -m pytest -q -p no:cacheprovider -p no:randomly --tb=line -x --maxfail=50 -rfE -W ignore -k 'not slow and not memory and not huge' \
		"/usr/lib/python3/dist-packages/numpy/$t$([ -e /usr/lib/python3/dist-packages/numpy/$t.py ] && echo .py)" >out 2>&1
	echo "$t: status $?"
	grep -E '^(FAILED|ERROR) ' out | sed 's/ - .*//'
	tail -n 1 out | sed -E 's/ in [0-9.]+s.*//'
done
