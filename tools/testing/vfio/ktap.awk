# SPDX-License-Identifier: GPL-2.0
#
# Counts the results in TAP or KTAP: prints "passed failed skipped". Of nested tests
# the innermost count; what stands around them counts only where it failed by itself.
# A result that is marked as an expected failure (XFAIL, TODO) counts as skipped. It
# is a failure too when there are not as many results as planned, or none at all.

BEGIN { deepest = 0 }

function failure(text)
{
	failed++
	print text >"/dev/stderr"
}

# The results deeper than DEPTH are complete: count no more below.
function close_below(depth,    d)
{
	for (d = deepest; d > depth; d--) {
		if (d in planned && planned[d] != seen[d])
			failure("planned " planned[d] ", but saw " seen[d] + 0 ": " last)
		delete planned[d]
		delete seen[d]
		delete bad[d]
	}
	if (deepest > depth)
		deepest = depth
}

{ sub(/\r$/, "") }

match($0, /^ */) { depth = RLENGTH; line = substr($0, depth + 1) }

# A plan opens a level; a results line of the level above closes it.
line ~ /^1\.\.[0-9]+/ {
	if (depth in planned)
		failure("a second plan: " $0)
	planned[depth] = substr(line, 4) + 0
	if (depth > deepest)
		deepest = depth
	last = $0
}

line ~ /^(not )?ok( |$)/ {
	parent = deepest > depth
	children_bad = 0
	for (d = deepest; d > depth; d--)
		children_bad += bad[d]
	counted = failed
	close_below(depth)
	children_bad += failed - counted

	seen[depth]++
	if (depth > deepest)
		deepest = depth
	last = $0
	if (line ~ /^not ok/ && line !~ /# *(XFAIL|TODO|SKIP)/) {
		bad[depth]++
		if (!parent || !children_bad)
			failure($0)
	} else if (!parent) {
		if (line ~ /# *(SKIP|XFAIL|TODO)/)
			skipped++
		else
			passed++
	}
	results++
}

line ~ /^Bail out!/ { failure($0) }

END {
	close_below(-1)
	if (!results)
		failure("no results")
	print passed + 0, failed + 0, skipped + 0
}
