use crate::base::disk::RealDisk;
use std::path::Path;
#[test]
fn probe() {
    let base = "[stream.a]\ndestinations = [\"d\"]\n[destination.d]\ntype = \"directory\"\npath = \"out\"\n";
    let cases = [
        "",
        "a = \nb = [1,\n[stream.a\nsecret_access_key = \"hush\n",
        "[stream.a]\n[stream.a]\nlisten = 1\nlisten = 2\n",
        "[http]\nlisten = 1\n[strem.a]\nx=1\n",
        "grace = 5\nstate_dir = \"/tmp/x\"\nlog = { level = \"verbose\", frmt = 1 }\nlog2 = 1\n",
        "[http.lan]\nlisten = [\"0.0.0.0:80\", \"localhost:9\", \"unix:\"]\nmax_bdy = 1\nmax_connections = 0\nmax_unpacked=\"1 KiB\"\nhead_timeout=\"1 sec\"\nwhatever_this_is=1\n",
        "[http.lan]\nauth = [\"keyz\", \"x\"]\n[auth.keys]\ntype=\"api_kee\"\nplan=\"fast\"\n[plan.p]\nburst=5\n",
        "[destination.k]\ntype=\"kinesis\"\nsecret_access_key = \"hush\"\nsecrt_acess_key=\"hush\"\nendpoint_url=\"http://me:hush@x\"\nregion=\"EU\"\n[destination.f]\ntype=\"firhose\"\n[destination.g]\n",
        "[destination.k]\ntype=\"kinesis\"\nstream_name = \"a b\"\naccess_key_id=\"${NOPE}\"\nsecret_access_key=\"file:nope\"\nmax_record=1048576\n",
        "[admin]\nlisten=\"0.0.0.0:1\"\n[dead_letters]\nmax_age=\"1 s\"\n[stream.\"../x\"]\ndestinations=[]\n[stream.b]\ndestinations=[\"q\",\"q\"]\n[tail.t]\ninclude=\"a***\"\nstream=\"c\"",
        "a.b.c = 1\n[[http]]\nx=1\n[stream]\nx=1\n[stream.y]\nqueue.max_bytes=\"4 MiB\"\nmax_record=\"2 MiB\"\n",
    ];
    for case in cases {
        println!("=====\n{case}\n-----");
        match crate::config::parse(case, Path::new("/etc/weir/weir.toml"), &|_| None, &RealDisk) {
            Ok(l) => {
                for w in &l.warnings {
                    println!("{w}\n");
                }
                println!("{}", l.config.summary());
            }
            Err(f) => println!("{f}"),
        }
    }
    let l =
        crate::config::parse(base, Path::new("/etc/weir/weir.toml"), &|_| None, &RealDisk).unwrap();
    for w in &l.warnings {
        println!("{w}\n");
    }
    println!("{}", l.config.summary());
    std::fs::write("config/weir.toml", crate::config::reference::commented_file()).unwrap();
    std::fs::write("docs/CONFIG.md", crate::config::reference::page()).unwrap();
}
