#!/bin/sh
# the OCI image's ENTRYPOINT and CMD
if [ $# -gt 0 ] && [ -z "${SINGULARITY_NO_EVAL:-}${APPTAINER_NO_EVAL:-}" ]; then
    # sets oci_quoted to $1 for use between double quotes, where $ and ` keep their meaning
    quote() {
        oci_rest=$1
        oci_quoted=
        while :; do
            case $oci_rest in
            *[\\\"]*)
                oci_head=${oci_rest%%[\\\"]*}
                oci_rest=${oci_rest#"$oci_head"}
                oci_mark=${oci_rest%"${oci_rest#?}"}
                oci_quoted=$oci_quoted$oci_head\\$oci_mark
                oci_rest=${oci_rest#?}
                ;;
            *)
                oci_quoted=$oci_quoted$oci_rest
                return
                ;;
            esac
        done
    }
    oci_words=
    for oci_word; do
        quote "$oci_word"
        oci_words="$oci_words \"$oci_quoted\""
    done
    eval "set -- $oci_words"
    unset oci_words oci_word oci_quoted oci_rest oci_head oci_mark
fi
if [ $# -eq 0 ]; then
    set -- 'serve' '$PORT'
fi
set -- '/entry.sh' 'a b' "$@"
if [ $# -eq 0 ]; then
    echo "the image has neither ENTRYPOINT nor CMD: name a command" >&2
    exit 1
fi
exec "$@"
