# sets quoted to $1 for use between double quotes, where $ and ` keep their meaning
quote() {
    rest=$1
    quoted=
    while :; do
        case $rest in
        *[\\\"]*)
            head=${rest%%[\\\"]*}
            rest=${rest#"$head"}
            mark=${rest%"${rest#?}"}
            quoted=$quoted$head\\$mark
            rest=${rest#?}
            ;;
        *)
            quoted=$quoted$rest
            return
            ;;
        esac
    done
}
