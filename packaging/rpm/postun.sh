# After an upgrade the old version goes last: only now is a running agent started anew. The state directory stays.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart weir.service 'weir@*.service' || :
    fi
fi
