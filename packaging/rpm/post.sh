# After the files are there: the user, then the folders that belong to it. On a host without systemd, or in an image
# that is being built, both are done at the next boot.
if command -v systemd-sysusers >/dev/null 2>&1; then
    systemd-sysusers weir.conf || :
    systemd-tmpfiles --create weir.conf || :
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
