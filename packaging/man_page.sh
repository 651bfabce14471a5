#!/bin/sh
# Makes a manual page of a page of docs/tools.md, with lowdown: man_page.sh VERSION TOOL OUT.gz, or man_page.sh VERSION oplog
# OUT.gz for what the tools have in common, which is oplog(7).
set -eu
pages=$(dirname "$0")/../docs/tools.md version=$1 tool=$2 out=$3
page() { awk -v name="$1" '/^## / { here = $0 == "## " name; next } here' "$pages" | sed 's/^### /# /'; }
case $tool in
oplog)
    section=7
    text() {
        printf '# NAME\n\noplog - what the tools for MongoDB oplogs have in common\n\n# DESCRIPTION\n'
        page 'Common behaviour'
        printf '\n# SEE ALSO\n\n' && sed -n 's/^## \(oplog-[a-z]*\)$/\1(1)/p' "$pages" | paste -sd, | sed 's/,/, /g'
    }
    ;;
*)
    section=1
    text() { page "$tool" | sed '/^# SEE ALSO/ { n; s/.*/\noplog(7),/ }'; }
    ;;
esac
text | lowdown -s -tman -M title="$(echo "$tool" | tr a-z A-Z)" -M section=$section -M source="oplog $version" -M volume=oplog | gzip -9n >"$out"
