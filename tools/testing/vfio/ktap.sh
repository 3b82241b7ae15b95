# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Results in KTAP, for scripts that source this and print the version and the plan themselves.

number=0 failed=0

expect() # NAME COMMAND [ARG...]
{
	local name=$1 word=ok
	shift

	number=$((number + 1))
	if ! "$@"; then
		word='not ok'
		failed=$((failed + 1))
	fi
	echo "$word $number $name"
}

subtests() # NAME COMMAND [ARG...]: its KTAP is nested
{
	local name=$1 status=0
	shift

	echo "    # Subtest: $name"
	"$@" 2>&1 | sed -u 's/^/    /' || status=$?
	expect "$name" test "$status" = 0
}
