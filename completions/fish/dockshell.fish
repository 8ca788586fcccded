# fish completion for dockshell, dsh, docker-bash and docker-ssh. The words go to the program, which answers with candidates.

function __dockshell_complete
    set -l typed (commandline -ct)
    # With a quote that is open there is nothing to unescape yet.
    set -l current (string unescape -- $typed; or string trim --left --chars "'\"" -- $typed)
    # What stands behind the cursor fish doesn't tell.
    for line in (command dockshell __complete -- (commandline -opc) "$current" 2>/dev/null </dev/null)
        if test "$line" = :files
            set -l option (string match -r -- '^--[^=]*=' $current)
            __fish_complete_path (string replace -r -- '^--[^=]*=' '' $current) | string replace -r -- '^' "$option"
            return
        end
        echo $line
    end
end

for program in dockshell dsh docker-bash docker-ssh
    complete -c $program -e
    complete -c $program -f -k -a '(__dockshell_complete)'
end
