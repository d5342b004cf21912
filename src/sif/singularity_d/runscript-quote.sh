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
