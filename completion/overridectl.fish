# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for overridectl.

function __overridectl_devices
    for path in /sys/bus/*/devices/*/driver_override
        string replace -r '^/sys/bus/([^/]*)/devices/([^/]*)/.*' '$1/$2' -- $path
    end
end

function __overridectl_drivers
    printf '%s\n' none default vfio
    for path in /sys/bus/*/drivers/*
        string replace -r '.*/' '' -- $path
    end
end

function __overridectl_groups
    for path in /sys/kernel/iommu_groups/*
        string replace -r '.*/' '' -- $path
    end
end

function __overridectl_labels
    cat /etc/driver-overrides.d/*.conf /run/driver-overrides.d/*.conf 2>/dev/null | string match -r -g '^\[device (\S*)\]$'
end

set -l verbs list show set confirm unset explain apply release groups check rehearse import snapshot reload monitor wait
complete -c overridectl -f
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a list -d 'Devices with a decision or an override'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a show -d 'All that is known of a device'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a set -d 'Choose the driver of a device'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a confirm -d 'Make what set --try has changed last'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a unset -d 'Remove what set wrote'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a explain -d 'Which rule decides, and why'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a apply -d 'Make devices as the policy says'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a release -d 'Give devices back whatever policy says'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a groups -d 'IOMMU groups'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a check -d 'Errors and warnings of the policy'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a rehearse -d 'What the next boot will do'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a import -d 'Rules for what other tools were told'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a snapshot -d 'What decisions need of this machine'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a reload -d 'Read the policy again'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a monitor -d 'Follow what happens'
complete -c overridectl -n "not __fish_seen_subcommand_from $verbs" -a wait -d 'Until devices are as decided'
complete -c overridectl -n "__fish_seen_subcommand_from show set confirm unset explain apply release wait" -a '(__overridectl_devices)'
complete -c overridectl -n "__fish_seen_subcommand_from set" -a '(__overridectl_drivers)' -d Driver
complete -c overridectl -n "__fish_seen_subcommand_from check snapshot" -F
complete -c overridectl -n "__fish_seen_subcommand_from list explain groups check" -l machine -r -F -d 'Decide for the machine of this snapshot'
complete -c overridectl -n "__fish_seen_subcommand_from import" -a 'driverctl modprobe libvirt adopt'
complete -c overridectl -n "__fish_seen_subcommand_from import" -l root -r -F -d 'The machine whose root this is'
complete -c overridectl -n "__fish_seen_subcommand_from import" -l write -d 'Write what is shown'
complete -c overridectl -n "__fish_seen_subcommand_from reload" -l retry -d 'Have a policy that has failed tried again'
complete -c overridectl -n "__fish_seen_subcommand_from snapshot" -l private -d 'Also numbers and addresses that only this machine has'
complete -c overridectl -l json -d 'JSON instead of text' -a 'pretty short off'
complete -c overridectl -l no-legend -d 'No headings, notes or summary'
complete -c overridectl -l no-pager -d 'Do not show long output by less'
complete -c overridectl -s H -l host -x -d 'Ask another machine'
complete -c overridectl -s h -l help -d 'Help'
complete -c overridectl -s V -l version -d 'Version'
complete -c overridectl -n "__fish_seen_subcommand_from list release rehearse" -l all -d 'All devices'
complete -c overridectl -n "__fish_seen_subcommand_from groups" -l why -d 'How a group can be made viable'
complete -c overridectl -n "__fish_seen_subcommand_from groups" -a '(__overridectl_groups)' -d 'IOMMU group'
complete -c overridectl -n "__fish_seen_subcommand_from list" -l bus -x -d 'Only of this bus'
complete -c overridectl -n "__fish_seen_subcommand_from set unset" -l runtime -d 'Until the next boot'
complete -c overridectl -n "__fish_seen_subcommand_from set unset" -l by -x -a 'name path id' -d 'What the rule knows the device by'
complete -c overridectl -n "__fish_seen_subcommand_from set" -l group -x -a 'leave hold none vfio' -d 'For its IOMMU group'
complete -c overridectl -n "__fish_seen_subcommand_from set" -l rebind -x -a 'no safe force' -d 'If it has another driver'
complete -c overridectl -n "__fish_seen_subcommand_from set" -l module -x -d 'That has the driver'
complete -c overridectl -n "__fish_seen_subcommand_from set confirm unset apply release" -l force -d 'Also if in use'
complete -c overridectl -n "__fish_seen_subcommand_from set confirm unset apply release" -l dry-run -d 'Change nothing'
complete -c overridectl -n "__fish_seen_subcommand_from show apply release wait" -l rule -x -a '(__overridectl_labels)' -d 'By the rule that decides'
complete -c overridectl -n "__fish_seen_subcommand_from wait" -l state -x -a 'enforced held pending blocked failed stuck foreign unmanaged'
complete -c overridectl -n "__fish_seen_subcommand_from wait" -l timeout -x -d 'Give up then'
complete -c overridectl -n "__fish_seen_subcommand_from set" -l try -x -d 'It goes back then unless confirmed'
complete -c overridectl -n "__fish_seen_subcommand_from monitor" -l exec -r -d 'Run for each event'
complete -c overridectl -n "__fish_seen_subcommand_from set unset" -l absent -d 'It may not be there'
complete -c overridectl -n "__fish_seen_subcommand_from set" -l any-device -d 'Whatever sits in that place'
complete -c overridectl -n "__fish_seen_subcommand_from set" -l yes -d 'Do not ask'
