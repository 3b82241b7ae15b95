# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts of the environment share: places, messages, set-up steps,
# and how a command runs in the environment. Source it; it sets no options.

vm_dir=$(cd "${BASH_SOURCE[0]%/*}" && pwd -P)
top=$(cd "$vm_dir/../.." && pwd -P)
cache=${VFIO_MIGRATION_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vfio-migration}

# The name that messages begin with.
vm_name=${vm_name:-vm}

say()
{
	printf '%s: %s\n' "$vm_name" "$*" >&2
}

die()
{
	say "$*"
	exit "${die_status:-1}"
}

# hash: the first 12 digits of the SHA-256 of standard input.
hash()
{
	sha256sum | cut -c 1-12
}

# duration SECONDS
duration()
{
	if (($1 < 60)); then
		echo "$1 s"
	else
		echo "$(($1 / 60)) min $(($1 % 60)) s"
	fi
}

[[ $cache == /* ]] || die "the cache folder must be an absolute path: $cache"
[[ $cache$top != *[:,[:space:]]* ]] ||
	die "the paths of the checkout and of the cache may hold no blank, colon or comma: $top, $cache"
mkdir -p "$cache"/{lock,log,run}
cache=$(cd "$cache" && pwd -P)

# Is this machine itself what the environment would be?
on_debian_13()
{
	local ID VERSION_ID
	# shellcheck disable=SC1091 # of this machine, not of the checkout
	ID='' VERSION_ID='' && . /etc/os-release && [[ $ID == debian && $VERSION_ID == 13 ]]
}

packages()
{
	grep -v '^#' "$vm_dir/packages"
}

# The root of the environment: this machine's own, or one in the cache.
if on_debian_13; then
	root=/
else
	root=$cache/root-$(packages | hash)
fi

# lock NAME: held until the calling (sub)shell and what it started have ended.
# Descriptor 9 is the lock's.
lock()
{
	exec 9>"$cache/lock/$1"
	flock -n 9 && return
	say "waiting for another run that holds $cache/lock/$1"
	flock 9
}

need_space()
{
	local free

	free=$(df --output=avail -BM "$cache" | tail -n 1)
	free=${free%M}
	((free >= $1)) || die "$2: needs $1 MiB of free disk space below $cache, there are ${free// /}"
}

# Shows that a long step is alive: the last line of its log, now and then.
show_progress()
{
	local pause=30 start=$SECONDS line

	trap 'kill "$!" 2>/dev/null; exit' TERM
	[[ -t 2 ]] && pause=2
	while true; do
		sleep "$pause" &
		wait "$!"
		line=$(tail -n 1 "$1" 2>/dev/null | tr -cd '[:print:]' | cut -c 1-64)
		if [[ -t 2 ]]; then
			printf '\r\e[K  %s  %s' "$(duration $((SECONDS - start)))" "$line" >&2
		else
			printf '  %s  %s\n' "$(duration $((SECONDS - start)))" "$line" >&2
		fi
	done
}

# step NAME MIB TEXT FUNCTION [ARG...]: runs FUNCTION with its output in a log,
# with MIB of disk space to begin with. Not to be called in a condition, where
# FUNCTION would run without `set -e`.
step()
{
	local name=$1 space=$2 text=$3 log="$cache/log/$1.log" start=$SECONDS pid progress status=0 why
	shift 3

	need_space "$space" "$name"
	say "$name: $text"
	: >"$log"
	# Its own process group, so that an interrupt ends all of it.
	set -m
	(set -e; "$@") >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	show_progress "$log" >/dev/null 9>&- &
	progress=$!
	# shellcheck disable=SC2064 # the ids as they are now
	trap "kill -- -$pid $progress 2>/dev/null || true; exit 130" INT TERM HUP
	wait "$pid" || status=$?
	trap - INT TERM HUP
	kill "$progress" 2>/dev/null || true
	wait "$progress" 2>/dev/null || true
	[[ ! -t 2 ]] || printf '\r\e[K' >&2
	if ((status == 0)); then
		say "$name: done in $(duration $((SECONDS - start)))"
		return
	fi
	if grep -q 'No space left on device' "$log"; then
		why='the disk is full'
	elif grep -qE '^E: (Failed to fetch|Unable to locate|Unable to fetch)|Temporary failure resolving|Could not resolve' "$log"; then
		why="a download failed: $(grep -m 1 -E '^E: |Temporary failure|Could not resolve' "$log")"
	else
		why="its last lines were:"$'\n'"$(tail -n 15 "$log" | sed 's/^/    /')"
	fi
	die "$name failed (log: $log): $why"
}

# enter COMMAND [ARG...]: replaces this shell by COMMAND in the environment, in
# the present folder. There the checkout, the cache, /tmp, the present folder and
# the folders in $ENV_BIND (with colons between them) have their own paths.
enter()
{
	local vars=() name path=/usr/lib/llvm-19/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

	for name in TERM MAKEFLAGS MAKELEVEL http_proxy https_proxy no_proxy KSRC VFIO_MIGRATION_CACHE; do
		[[ ! -v $name ]] || vars+=("$name=${!name}")
	done
	export ENV_BIND=${ENV_BIND:-}
	vars+=(HOME=/root "PATH=$path" LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
	       VFIO_MIGRATION_CACHE="$cache")
	if [[ $root == / ]]; then
		exec env -i "${vars[@]}" "$@"
	fi
	[[ -d $root ]] || die "the environment is not there yet: run tools/vm/env"
	# shellcheck disable=SC2016 # expanded by the inner shell
	exec unshare --mount --propagation private bash -c '
		set -e
		root=$1 binds=$2 dir=$PWD
		shift 2
		# A mount of its own, so that there can be namespaces in it too.
		mount --bind "$root" "$root"
		mount -t proc proc "$root/proc"
		mount --rbind /sys "$root/sys"
		mount --rbind /dev "$root/dev"
		IFS=:
		for bind in $binds; do
			mkdir -p "$root$bind"
			mount --bind "$bind" "$root$bind"
		done
		for bind in $ENV_BIND; do
			mkdir -p "$root$bind"
			mount --rbind "$bind" "$root$bind"
		done
		exec chroot "$root" /usr/bin/env -i -C "$dir" "$@"
	' enter "$root" "/tmp:$cache:$top:$PWD" "${vars[@]}" "$@"
}

# inside COMMAND [ARG...]: the same, and comes back.
inside()
{
	(enter "$@")
}
