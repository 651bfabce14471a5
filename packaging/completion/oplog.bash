# Completion for bash of all oplog tools. They are asked for their options, so nothing here can be out of date.
_oplog() {
    local word=${COMP_WORDS[COMP_CWORD]} help
    COMPREPLY=()
    help=$("$1" --help 2>/dev/null) || return 0
    if [[ $word == -* ]]; then
        # Options stand in the first column, in usages, and after a command's description.
        mapfile -t COMPREPLY < <(compgen -W "$({ sed -nE 's/^ +(-.*)/\1/p' <<<"$help" | sed 's/  .*//'; grep -E '^(Usage: |       )' <<<"$help"; grep -oE '; --[a-z-]+' <<<"$help"; } |
            grep -oE -- '(^|[ ,[|])--?[a-zA-Z][a-z-]*' | tr -d ' ,[|' | sort -u)" -- "$word")
    elif [[ $COMP_CWORD -eq 1 && ${1##*/} == oplog-chain || ${1##*/} == oplog-backup && ${COMP_WORDS[COMP_CWORD - 1]} != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(sed -nE '/^  oplog-/d; s/^  ([a-z][a-z-]+) ( |[A-Z]+ ).*/\1/p' <<<"$help")" -- "$word")
    fi
}
complete -o bashdefault -o default -F _oplog oplog-{apply,backup,cat,chain,diff,filter,gather,history,merge,range,restore,slice,split,stage,stats,undo,verify}
