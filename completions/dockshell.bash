# bash completion for dockshell, dsh, docker-bash and docker-ssh. The words go to the program, which answers with candidates.

_dockshell() {
    # bash cuts words at the characters of COMP_WORDBREAKS, so `label:app=web` comes as five. Those with no blank between are one.
    local rest=${COMP_LINE:0:COMP_POINT} word index last
    local -a words=()
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ $index -eq 0 || $rest == [[:space:]]* || -z $rest ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("")
        fi
        # The last word goes on behind the cursor; what counts is what stands before.
        [[ $index -eq $COMP_CWORD ]] && word=$rest
        last=$((${#words[@]} - 1))
        words[last]+=$word
        rest=${rest#"$word"}
    done
    for index in "${!words[@]}"; do
        case ${words[index]} in
            \"*\" | \'*\') words[index]=${words[index]:1:${#words[index]}-2} ;;
        esac
    done
    words[last]=${words[last]#[\"\']}

    local current=${words[last]} before="" breaks=${COMP_WORDBREAKS//[^:=@]/}
    # readline replaces only what follows the last break (and an @ that is the break), so only that may be in a candidate.
    [[ -n $breaks && $current == *[$breaks]* ]] && before=${current%"${current##*[$breaks]}"}
    before=${before%@}
    COMPREPLY=()
    local line blank=no
    while IFS= read -r line; do
        line=${line%%$'\t'*}
        if [[ $line == :files ]]; then
            compopt -o filenames 2>/dev/null
            _dockshell_files "${current#--*=}"
            return
        fi
        [[ $line == *[:/=] ]] || blank=yes
        COMPREPLY+=("${line#"$before"}")
    done < <(command dockshell __complete -- "${words[@]}" 2>/dev/null </dev/null)
    [[ $blank == no ]] && compopt -o nospace 2>/dev/null
    return 0
}

_dockshell_files() {
    local name
    while IFS= read -r name; do
        COMPREPLY+=("$name")
    done < <(compgen -f -- "$1")
}

complete -o nosort -F _dockshell dockshell dsh docker-bash docker-ssh 2>/dev/null ||
    complete -F _dockshell dockshell dsh docker-bash docker-ssh
