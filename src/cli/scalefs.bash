# Completion of `scalefs` for bash: verbs, options, names of pools, then paths.
_scalefs()
{
    local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} options=
    local verbs='create mount unmount list status set add remove replace resize role offline online scrub plan pause resume cancel wait check export import version help'
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 || $verb == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur")
        return
    fi
    case $verb in
        create) options='--failover --optimize --size --station --role --force' ;;
        mount) options='--foreground --read-only --degraded --from-other-computer -o' ;;
        status) options='--watch' ;;
        set | scrub | resize | role | resume | cancel) options='--wait' ;;
        add) options='--station --role --size --force --wait' ;;
        remove) options='--failover --wait' ;;
        plan) options='--disks --failover --optimize --station --role' ;;
        replace) options='--size --force --wait' ;;
        import) options='--from-other-computer --degraded --keep' ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options --json --help" -- "$cur")
        return
    fi
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --optimize)
            mapfile -t COMPREPLY < <(compgen -W 'space balanced performance' -- "$cur")
            return ;;
    esac
    if [[ $COMP_CWORD -eq 2 && $verb != create && $verb != check ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(scalefs list 2>/dev/null | awk 'NR > 1 && $1 != "No" { print $1 }')" -- "$cur")
    elif [[ $COMP_CWORD -eq 3 && $verb == scrub ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'pause resume stop' -- "$cur")
        return
    elif [[ $COMP_CWORD -eq 3 && $verb == plan ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'add remove replace resize role set' -- "$cur")
        return
    elif [[ $COMP_CWORD -eq 4 && $verb == role ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'data metadata' -- "$cur")
        return
    elif [[ $verb == set ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'verify=checksum verify=parity compression=off compression=zstd record= rate= failover= optimize=' -- "$cur")
        return
    fi
    local paths
    mapfile -t paths < <(compgen -f -- "$cur")
    COMPREPLY+=("${paths[@]}")
}
complete -o filenames -F _scalefs scalefs
