# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# bash completion for overridectl: verbs, options, and names of devices, drivers and rules. Readline takes a colon for the end of
# a word, so what is offered for 0000:03: is what follows it; a quoted word and a COMP_WORDBREAKS without colon need no such care.

_overridectl_list() {
	# The devices of all buses; names that a shell would have to quote are not offered.
	local path bus
	for path in /sys/bus/*/devices/*/driver_override; do
		path=${path%/driver_override}
		bus=${path#/sys/bus/}
		[[ $path == *[!A-Za-z0-9:._/-]* ]] || printf '%s\n' "${bus%%/*}/${path##*/}" "${path##*/}"
	done
}

_overridectl_drivers() {
	local path
	for path in /sys/bus/*/drivers/*; do
		path=${path##*/}
		[[ $path == *[!A-Za-z0-9:._-]* ]] || printf '%s\n' "$path"
	done
}

_overridectl_groups() {
	(cd /sys/kernel/iommu_groups 2>/dev/null && printf '%s\n' [0-9]*)
}

_overridectl_labels() {
	cat /etc/driver-overrides.d/*.conf /run/driver-overrides.d/*.conf /usr/lib/driver-overrides.d/*.conf 2>/dev/null |
		sed -n 's/^\[device \([A-Za-z0-9:._-]*\)\]$/\1/p'
}

_overridectl_offer() {
	# $1: the words; those that begin with the word under the cursor, without what is before its last colon.
	local word=$2 colon
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word")
	if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
		colon=${word%"${word##*:}"}
		COMPREPLY=("${COMPREPLY[@]#"$colon"}")
	fi
}

_overridectl() {
	local verbs="list show set confirm unset explain apply release groups check rehearse import snapshot reload monitor wait"
	local common="--json --json=pretty --json=short --json=off --no-legend --no-pager --host --help --version"
	# The words again, of which readline has made several at each colon.
	local line=${COMP_LINE:0:COMP_POINT} words word previous verb="" i n=0
	read -r -a words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	word=${words[-1]}
	previous=${words[-2]}
	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		case ${words[i]} in
		-H | --host | --bus | --by | --group | --machine | --root | --rebind | --module | --rule | --state | --timeout | --try | --exec | --address | --conf-dir | --sysfs | --state-dir) i=$((i + 1)) ;;
		-*) ;;
		*) if [[ -z $verb ]]; then verb=${words[i]}; else n=$((n + 1)); fi ;;
		esac
	done
	COMPREPLY=()
	case $previous in
	--by) _overridectl_offer "name path id" "$word"; return ;;
	--rebind) _overridectl_offer "no safe force" "$word"; return ;;
	--group) _overridectl_offer "leave hold none vfio" "$word"; return ;;
	--state) _overridectl_offer "enforced held pending blocked failed stuck foreign unmanaged" "$word"; return ;;
	--rule) _overridectl_offer "$(_overridectl_labels)" "$word"; return ;;
	--bus) _overridectl_offer "$(cd /sys/bus && echo *)" "$word"; return ;;
	-H | --host | --module | --timeout | --try | --exec | --address) return ;;
	--machine) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
	--root | --conf-dir | --sysfs | --state-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
	esac
	if [[ $word == -* ]]; then
		case $verb in
		set) common+=" --runtime --by --group --rebind --module --force --dry-run --try --absent --any-device --yes" ;;
		confirm) common+=" --force --dry-run" ;;
		unset) common+=" --runtime --by --force --dry-run --absent" ;;
		release) common+=" --all --rule --force --dry-run" ;;
		apply) common+=" --rule --force --dry-run" ;;
		show) common+=" --rule" ;;
		groups) common+=" --why --machine" ;;
		list | "") common+=" --all --bus --machine" ;;
		explain | check) common+=" --machine" ;;
		rehearse) common+=" --all" ;;
		reload) common+=" --retry" ;;
		import) common+=" --root --write" ;;
		snapshot) common+=" --private" ;;
		monitor) common+=" --exec" ;;
		wait) common+=" --rule --state --timeout" ;;
		esac
		_overridectl_offer "$common" "$word"
		return
	fi
	case $verb:$n in
	:0) _overridectl_offer "$verbs" "$word" ;;
	set:0) _overridectl_offer "$(_overridectl_list)" "$word" ;;
	# Another device, or the driver of those that are named.
	set:*) _overridectl_offer "none default vfio $(_overridectl_drivers) $(_overridectl_list)" "$word" ;;
	unset:0 | show:0 | explain:0 | confirm:* | apply:* | release:* | wait:*) _overridectl_offer "$(_overridectl_list)" "$word" ;;
	groups:*) _overridectl_offer "$(_overridectl_groups)" "$word" ;;
	import:0) _overridectl_offer "driverctl modprobe libvirt adopt" "$word" ;;
	check:* | import:* | snapshot:0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	esac
}
complete -F _overridectl overridectl
