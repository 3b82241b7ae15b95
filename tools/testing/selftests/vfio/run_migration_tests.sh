#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Run the migration selftests on devices of this machine, as root. Prints KTAP.
set -euo pipefail

usage() {
	cat <<'EOF'
usage: run_migration_tests.sh [-b DIR] [-m MODE] [-s BYTES] [-t TEST]... DEVICE...
  DEVICE   emulated: every type of the vfio_migration_emulated driver
           emulated-TYPE: that one, e.g. emulated-full
           mtty: every type of the kernel's mtty sample
           abi: no device, only the tests of the uapi header
           a path in sysfs: that device, e.g. /sys/bus/mdev/devices/UUID
  -b DIR   the test programs are in DIR (default: beside this script)
  -m MODE  open devices by cdev (default) or group
  -s BYTES load vfio_migration_emulated with this state_size
  -t TEST  only this program, e.g. vfio_migration_fsm_test; may be repeated. Without it all,
           or with -m group those in which it matters how the device was opened

The tests a driver of the kernel is known to fail are in known-failures/DRIVER. They must
fail: then they count as passed. VFIO_MIGRATION_SEED seeds what is random, and
VFIO_MIGRATION_ROUNDS is how often tests do what they could do for ever, or with % which part.
EOF
}

here=$(dirname "$(readlink -f "$0")")
bin=$here mode=cdev state_size=
tests=()
while getopts b:m:s:t:h opt; do
	case $opt in
	b) bin=$OPTARG ;;
	m) mode=$OPTARG ;;
	s) state_size=$OPTARG ;;
	t) tests+=("$OPTARG") ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
if [ $# = 0 ]; then
	usage >&2
	exit 2
fi
if [ ${#tests[@]} = 0 ] && [ "$mode" = group ]; then
	# Those in which it matters how the device was opened.
	tests=(vfio_migration_{state,reset,race,log,device,dma}_test)
elif [ ${#tests[@]} = 0 ]; then
	tests=(vfio_migration_{feature,state,refusal,fsm,stream,shared}_test
	       vfio_migration_{resume,hostile,memory,precopy,reset,race}_test
	       vfio_migration_{log,fault,inject,inject_device,device,carry,trace}_test)
fi

number=0 passed=0 failed=0 skipped=0
made=()

result() { # ok|"not ok" NAME [NOTE]
	number=$((number + 1))
	echo "$1 $number $2${3:+ # $3}"
	case "$1 ${3-}" in
	"ok SKIP"*) skipped=$((skipped + 1)) ;;
	"ok "*) passed=$((passed + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
}

# The reason why a test of a driver is expected to fail, or not run: known fail|omit TEST
known() {
	[ -z "$list" ] || awk -v kind="$1" -v program="$program" -v test="$2" '
		$1 == kind && $2 == program && $3 == test {
			sub(/^([^ \t]+[ \t]+){3}/, ""); print; exit
		}' "$list"
}

# The tests of this program that the list has: listed fail|omit
listed() {
	[ -z "$list" ] || awk -v kind="$1" -v program="$program" '
		$1 == kind && $2 == program { print $3 }' "$list"
}

# Run one program on one device and judge its results.
run_program() { # LABEL PROGRAM
	local label=$1 program=$2 line name reason status='' plan='' seen=0 args=() diag=()
	local -A ran=()

	while read -r name; do
		args+=(-T "${name##*.}")
		echo "# $label $program $name is not run: $(known omit "$name")"
	done < <(listed omit)
	while IFS= read -r line; do
		case $line in
		1..*)
			plan=${line#1..} ;;
		"ok "* | "not ok "*)
			seen=$((seen + 1))
			name=${line#*ok * }
			name=${name%% *}
			ran[$name]=1
			reason=$(known fail "$name")
			case $line in
			*"# SKIP"*)
				result ok "$label $program $name" "${line#*# }" ;;
			ok*)
				if [ -n "$reason" ]; then
					result "not ok" "$label $program $name" \
						"passed, but ${list#"$here"/} has it as failing"
				else
					result ok "$label $program $name"
				fi ;;
			*)
				if [ -n "$reason" ]; then
					result ok "$label $program $name" \
						"expected failure of $driver: $reason"
				else
					[ ${#diag[@]} = 0 ] || printf '%s\n' "${diag[@]}"
					result "not ok" "$label $program $name"
				fi ;;
			esac
			diag=() ;;
		"#  RUN "* | "#          OK "* | "#          FAIL "*) ;;
		"exit status "*)
			status=${line#exit status } ;;
		*)
			diag+=("$line") ;;
		esac
	done < <("$bin/$program" "${args[@]}" 2>&1 || echo "exit status $?")
	if [ "$seen" != "$plan" ]; then
		[ ${#diag[@]} = 0 ] || printf '%s\n' "${diag[@]}"
		result "not ok" "$label $program" \
			"${plan:-no} tests planned, $seen ran, status ${status:-0}"
	fi
	while read -r name; do
		[ -n "${ran[$name]-}" ] ||
			result "not ok" "$label $program $name" \
				"${list#"$here"/} names it, but it did not run"
	done < <(listed fail)
}

run_device() { # LABEL
	local program

	echo "# $1: ${VFIO_MIGRATION_DEVICE:-no device}, opened by $mode"
	for program in "${tests[@]}"; do
		run_program "$1" "$program"
	done
}

make_mdev() { # TYPE-FOLDER; sets mdev
	local uuid

	uuid=$(cat /proc/sys/kernel/random/uuid)
	echo "$uuid" > "$1/create"
	mdev=/sys/bus/mdev/devices/$uuid
	made+=("$mdev")
}

remove_mdevs() {
	local path

	for path in "${made[@]}"; do
		[ ! -e "$path" ] || echo 1 > "$path/remove"
	done
	made=()
}
trap remove_mdevs EXIT

# Two devices of one type, and one whose streams are foreign to them.
run_type() { # TYPE-FOLDER FOREIGN-TYPE-FOLDER
	make_mdev "$1"
	export VFIO_MIGRATION_DEVICE=$mdev
	make_mdev "$1"
	export VFIO_MIGRATION_PEER=$mdev
	make_mdev "$2"
	export VFIO_MIGRATION_FOREIGN=$mdev
	run_device "${1##*/}"
	unset VFIO_MIGRATION_DEVICE VFIO_MIGRATION_PEER VFIO_MIGRATION_FOREIGN
	remove_mdevs
}

# The folders of the mdev types whose names end in one of the words.
types() { # WORD...
	local word folder

	for word in "$@"; do
		for folder in /sys/class/mdev_bus/*/mdev_supported_types/*-"$word"; do
			[ ! -e "$folder" ] || echo "$folder"
		done
	done
}

run_emulated() { # WORD...
	local folder found=()

	driver=vfio_migration_emulated list=
	modprobe mtty
	if [ -n "$state_size" ]; then
		modprobe -r vfio_migration_emulated
		modprobe vfio_migration_emulated "state_size=$state_size"
	else
		modprobe vfio_migration_emulated
	fi
	mapfile -t found < <(types "$@")
	[ ${#found[@]} = $# ] || result "not ok" emulated "${#found[@]} of $# types found"
	for folder in "${found[@]}"; do
		run_type "$folder" /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1
	done
}

run_mtty() {
	local parent=/sys/class/mdev_bus/mtty/mdev_supported_types

	driver=mtty list=$here/known-failures/mtty
	modprobe mtty
	run_type "$parent/mtty-1" "$parent/mtty-2"
	run_type "$parent/mtty-2" "$parent/mtty-1"
}

case $mode in
cdev | group) ;;
*) usage >&2; exit 2 ;;
esac
export VFIO_MIGRATION_MODE=$mode
modprobe vfio_iommu_type1
modprobe iommufd
echo "TAP version 13"
for device; do
	case $device in
	emulated) run_emulated stop_copy p2p pre_copy full ;;
	emulated-*) run_emulated "${device#emulated-}" ;;
	mtty) run_mtty ;;
	abi)
		driver='' list=''
		run_program abi vfio_migration_abi_test ;;
	/*)
		list='' driver=$(basename "$(readlink -f "$device/driver")")
		[ ! -e "$here/known-failures/$driver" ] || list=$here/known-failures/$driver
		export VFIO_MIGRATION_DEVICE=${device%/}
		run_device "$driver" ;;
	*) usage >&2; exit 2 ;;
	esac
done
echo "1..$number"
echo "# Totals: pass:$passed fail:$failed xfail:0 xpass:0 skip:$skipped error:0"
[ "$failed" = 0 ] && [ "$number" != 0 ]
