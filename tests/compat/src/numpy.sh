# SPDX-License-Identifier: GPL-2.0-or-later
# Some of NumPy's own tests: half and long double, what types can hold, its generators of random numbers. What failed, and how many of each kind.
here=/usr/lib/python3/dist-packages/numpy
timeout 1500 python3 -m pytest -q -p no:cacheprovider -p no:randomly --tb=line --maxfail=50 -rfE -W ignore -k 'not slow and not memory and not huge' \
	$here/core/tests/test_half.py $here/core/tests/test_longdouble.py $here/core/tests/test_getlimits.py $here/random/tests/test_direct.py >out 2>&1
echo "status $?"
grep -E '^(FAILED|ERROR) ' out | sed 's/ - .*//'
tail -n 1 out | sed -E 's/ in [0-9.]+s.*//'
