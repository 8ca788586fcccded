# The container's environment, for login shells of root and of the group docker_env.
if [ -r /etc/container_environment.sh ]; then
    . /etc/container_environment.sh
fi
