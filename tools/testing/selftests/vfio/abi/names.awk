# SPDX-License-Identifier: GPL-2.0
#
# Make the entries of a table of struct abi_value from the list of names.

function entry(name, expression) {
	printf "\t{ \"%s\", (unsigned long long)(%s) },\n", name, expression
}

/^#/ || !NF { next }
$1 != "struct" { entry($1, $1); next }
{
	type = "struct " $2
	entry("size of " type, "sizeof(" type ")")
	for (i = 3; i <= NF; i++) {
		member = $i
		array = sub(/\[\]$/, "", member)
		entry("offset of " type "." member, "offsetof(" type ", " member ")")
		if (array)
			continue
		value = "((" type " *)0)->" member
		entry("size of " type "." member, "sizeof(" value ")")
		entry("sign of " type "." member, \
		      "(__typeof__(" value "))-1 < (__typeof__(" value "))1")
	}
}
