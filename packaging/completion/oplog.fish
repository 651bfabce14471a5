# Completion for fish of all oplog tools. They are asked for their options, so nothing here can be out of date.
function __oplog_options
    set -l words (commandline -opc)
    set -l help ($words[1] --help 2>/dev/null)
    for line in (string match -r '^ +-.*' -- $help)
        set -l parts (string split -m 1 '  ' -- (string trim -- $line))
        for option in (string match -ra -- '--[a-z][a-z-]*' $parts[1])
            printf '%s\t%s\n' $option (string trim -- $parts[2])
        end
    end
    string match -rag '(?:; |\[|\|)(--[a-z-]+)' -- $help
end
function __oplog_commands
    set -l words (commandline -opc)
    $words[1] --help 2>/dev/null | string match -v '  oplog-*' | string replace -rf '^  ([a-z][a-z-]+) (?: |[A-Z]+ ) *(.*)' '$1\t$2'
end
for tool in apply backup cat chain diff filter gather history merge range restore slice split stage stats undo verify
    complete -c oplog-$tool -n 'string match -q -- "-*" (commandline -ct)' -a '(__oplog_options)'
end
for tool in backup chain
    complete -c oplog-$tool -n 'not __fish_seen_subcommand_from (__oplog_commands | string replace -r "\t.*" "")' -a '(__oplog_commands)'
end
