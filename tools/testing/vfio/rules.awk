# SPDX-License-Identifier: GPL-2.0
#
# Makes the tables of Documentation/driver-api/vfio-migration-rules.rst:
#
#	awk -f rules.awk rules names kept results...
#
# where rules is selftests/vfio/rules, names are lines "PROGRAM TEST", kept is the document as
# it is, and results are what run_migration_tests.sh printed. A driver without results keeps its
# column. A rule fails where any test fails whose name has it, expected or not, or may not
# run; it is not applicable where none ran.

BEGIN {
	columns = split("stop_copy p2p pre_copy full mtty vfio_migration_test_pci " \
			"mlx5_vfio_pci vfio_migration_mlx5", column, " ")
	for (c = 1; c <= columns; c++)
		known[column[c]] = c
}

FNR == 1 { file++ }

# The rules that a test's name begins with, into ids.
function rules_of(test,    part, n, i)
{
	sub(/.*\./, "", test)
	count = 0
	n = split(test, part, "_")
	for (i = 1; i <= n && part[i] ~ /^[a-z][0-9]+$/; i++)
		ids[++count] = toupper(part[i])
}

file == 1 && /^: / {
	line[++lines] = $0
	next
}

file == 1 && /^[A-Z]/ {
	line[++lines] = $0
	text[$1] = substr($0, length($1) + 2)
	width = length(text[$1]) > width ? length(text[$1]) : width
	next
}

file == 2 {
	rules_of($2)
	for (i = 1; i <= count; i++)
		tests[ids[i]] = tests[ids[i]] "\n  * ``" $1 "``: ``" $2 "``"
	next
}

# What is kept has a cell for each column at the end of the line.
file == 3 && ($1 in text) && NF > columns {
	for (c = 1; c <= columns; c++)
		cell[$1, c] = $(NF - columns + c)
	next
}

file < 4 { next }

{ sub(/^ */, "") }

# [not] ok NUMBER LABEL PROGRAM TEST [# NOTE], or what stands for a test that may not run.
/^(not )?ok [0-9]+ [^ ]+ vfio_migration_[a-z_]+_test / {
	bad = sub(/^not /, "") || / # expected failure /
	if (!/ # SKIP/)
		result($3, $5, bad ? "fail" : "pass")
}

/^# [^ ]+ vfio_migration_[a-z_]+_test [^ ]+ is not run: / { result($2, $4, "fail") }

function result(label, test, how,    c, i)
{
	sub(/^faux_driver-/, "", label)
	sub(/^mtty-.*/, "mtty", label)
	if (!(label in known))
		return
	c = known[label]
	if (!ran[c]++)
		for (i in text)
			cell[i, c] = "n/a"
	rules_of(test)
	for (i = 1; i <= count; i++)
		if (cell[ids[i], c] != "fail")
			cell[ids[i], c] = how
}

function repeat(char, n,    s)
{
	while (n-- > 0)
		s = s char
	return s
}

function border(    c, s)
{
	s = "====  " repeat("=", width)
	for (c = 1; c <= columns; c++)
		s = s "  " repeat("=", length(column[c]))
	print s
}

function row(id, what, head,    c, s)
{
	s = sprintf("%-4s  %-" width "s", id, what)
	for (c = 1; c <= columns; c++)
		s = s sprintf("  %-" length(column[c]) "s", head ? column[c] : \
			      (id, c) in cell ? cell[id, c] : "?")
	sub(/ +$/, "", s)
	print s
}

function heading(s)
{
	print s
	print repeat("-", length(s)) "\n"
}

END {
	for (l = 1; l <= lines; l++) {
		if (line[l] ~ /^:/) {
			if (l > 1) {
				border()
				print ""
			}
			heading(substr(line[l], 3))
			border()
			row("Rule", "What", 1)
			border()
			continue
		}
		split(line[l], word, " ")
		row(word[1], text[word[1]], 0)
	}
	border()
	print ""
	heading("The tests of these defects")
	for (l = 1; l <= lines; l++) {
		split(line[l], word, " ")
		if (word[1] ~ /^E[0-9]/)
			print word[1] tests[word[1]] "\n"
	}
}
