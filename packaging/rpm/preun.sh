# $1 is how many versions will be left: 0 is a removal, 1 an upgrade.
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now weir.socket weir.service || :
    systemctl stop 'weir@*.service' || :
    # What is not enabled any more leaves no links behind that lead nowhere.
    for link in /etc/systemd/system/*.wants/weir@?*.service; do
        if [ -L "$link" ]; then
            systemctl --no-reload disable "${link##*/}" || :
        fi
    done
fi
