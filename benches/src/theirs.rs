//! nginx and HAProxy from Debian, with the same bytes and the same head fields, tuned as their manuals say.

use crate::error::BenchError;
use crate::ground::Ground;
use crate::ours::write;
use crate::servers::Server;
use crate::viewers::Answer;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// nginx, its files on a tmpfs with pages of 4 KB.
pub(crate) const NGINX: u16 = 9080;
/// The same nginx, its files on a tmpfs with huge pages.
pub(crate) const NGINX_HUGE: u16 = 9081;
/// The same nginx in TLS, pages of 4 KB.
pub(crate) const NGINX_TLS: u16 = 9443;
/// The same nginx, which also caches open files: what a site that never changes a file may do.
pub(crate) const NGINX_CACHE: u16 = 9082;
/// The same nginx, with the playlist in its settings.
pub(crate) const NGINX_TEXT: u16 = 9083;
/// What is added to the ports of the nginx with two workers.
pub(crate) const WIDE: u16 = 200;
pub(crate) const HAPROXY: u16 = 9180;

/// What both serve.
#[derive(Debug)]
pub(crate) struct Files {
    directory: PathBuf,
    roots: [PathBuf; 2],
    certificates: PathBuf,
    /// Where the segment of each rendition is.
    pub(crate) segments: BTreeMap<&'static str, String>,
    pub(crate) playlist: String,
    segment_fields: String,
    playlist_fields: String,
    haproxy_fields: String,
}

/// Fields each server makes by itself.
const OWN: [&str; 8] = [
    "date",
    "content-length",
    "content-type",
    "etag",
    "last-modified",
    "connection",
    "server",
    "accept-ranges",
];

impl Files {
    /// Writes what one of our edges answers: a playlist, and a segment of each rendition, by the same paths.
    pub(crate) fn write(
        ground: &Ground,
        certificates: &Path,
        playlist: (&str, &Answer),
        segments: &[(&'static str, String, Answer)],
    ) -> Result<Self, BenchError> {
        let directory = ground.at("theirs");
        fs::create_dir_all(&directory).map_err(BenchError::when(directory.display().to_string()))?;
        let roots = [ground.pages().join("theirs"), ground.huge().join("theirs")];
        for root in &roots {
            for (target, body) in segments
                .iter()
                .map(|(_, target, it)| (target.as_str(), &it.body))
                .chain([(playlist.0, &playlist.1.body)])
            {
                let path = root.join(target.trim_start_matches('/'));
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).map_err(BenchError::when(parent.display().to_string()))?;
                }
                // One write, as the edge makes, so that tmpfs takes pages as large for both.
                fs::write(&path, body).map_err(BenchError::when(path.display().to_string()))?;
            }
        }
        write(&directory.join("playlist.m3u8"), &String::from_utf8_lossy(&playlist.1.body))?;
        let fields = |answer: &Answer, line: &dyn Fn(&str, &str) -> String| -> String {
            answer
                .fields()
                .filter(|(name, _)| !OWN.contains(&name.to_ascii_lowercase().as_str()))
                .map(|(name, value)| line(name, value))
                .collect()
        };
        let nginx = |name: &str, value: &str| format!("add_header {name} '{value}'; ");
        let segment_fields =
            segments.first().map(|(_, _, answer)| fields(answer, &nginx)).unwrap_or_default();
        Ok(Self {
            directory,
            roots,
            certificates: certificates.to_owned(),
            segments: segments.iter().map(|(rendition, target, _)| (*rendition, target.clone())).collect(),
            playlist: playlist.0.to_owned(),
            segment_fields,
            playlist_fields: fields(playlist.1, &nginx),
            haproxy_fields: fields(playlist.1, &|name, value| format!(" hdr {name} \"{value}\"")),
        })
    }

    /// Starts nginx with one worker for each of `cores` (`0` or `0,1`).
    pub(crate) fn nginx(
        &self,
        name: &str,
        cores: &str,
        connections: usize,
        offset: u16,
    ) -> Result<Server, BenchError> {
        let Self { directory, roots: [pages, huge], segment_fields, playlist_fields, .. } = self;
        let files = format!(
            "location / {{ {segment_fields} }}\n    location ~ \\.m3u8$ {{ {playlist_fields} }}\n    \
             location = /go/bench {{ add_header Set-Cookie 'edge=edge1; Path=/'; add_header Cache-Control no-store; \
             add_header Access-Control-Allow-Origin '*'; return 302 http://10.213.0.1:8080/live/bench/index.m3u8; }}"
        );
        let at = directory.display();
        let certificates = self.certificates.display();
        let (pages, huge) = (pages.display(), huge.display());
        let playlist = fs::read_to_string(directory.join("playlist.m3u8"))
            .map_err(BenchError::when("the playlist for nginx"))?;
        let ports = [NGINX, NGINX_HUGE, NGINX_CACHE, NGINX_TEXT, NGINX_TLS].map(|port| port + offset);
        let [nginx, nginx_huge, nginx_cache, nginx_text, nginx_tls] = ports;
        let workers = cores.split(',').count();
        let settings = format!(
            "daemon off;\nuser root;\nworker_processes {workers};\n\
             pid {at}/{name}.pid;\nerror_log {at}/{name}-error.log error;\n\
             events {{ worker_connections {connections}; use epoll; }}\n\
             http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  tcp_nodelay on;\n  server_tokens off;\n  \
             keepalive_timeout 75s;\n  keepalive_requests 1000000000;\n  \
             types {{ video/mp2t ts; application/vnd.apple.mpegurl m3u8; }}\n  \
             client_body_temp_path {at}/body;\n  proxy_temp_path {at}/proxy;\n  fastcgi_temp_path {at}/fastcgi;\n  \
             uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n  \
             server {{\n    listen 0.0.0.0:{nginx} backlog=16384 reuseport;\n    root {pages};\n    {files}\n  }}\n  \
             server {{\n    listen 0.0.0.0:{nginx_huge} backlog=16384 reuseport;\n    root {huge};\n    {files}\n  }}\n  \
             server {{\n    listen 0.0.0.0:{nginx_cache} backlog=16384 reuseport;\n    root {pages};\n    \
             open_file_cache max=1000;\n    open_file_cache_valid 60s;\n    {files}\n  }}\n  \
             server {{\n    listen 0.0.0.0:{nginx_text} backlog=16384 reuseport;\n    \
             default_type application/vnd.apple.mpegurl;\n    location / {{ {playlist_fields} return 200 '{playlist}'; }}\n  }}\n  \
             server {{\n    listen 0.0.0.0:{nginx_tls} ssl backlog=16384 reuseport;\n    root {pages};\n    \
             ssl_certificate {certificates}/https.pem;\n    ssl_certificate_key {certificates}/https.key;\n    \
             ssl_protocols TLSv1.3;\n    ssl_ecdh_curve X25519;\n    ssl_session_cache shared:tls:10m;\n    {files}\n  }}\n}}\n"
        );
        let path = directory.join(format!("{name}.conf"));
        write(&path, &settings)?;
        let words = ["nginx", "-p", &at.to_string(), "-c", &path.display().to_string()].map(str::to_owned);
        Server::start(name, cores, &words, &ports, directory)
    }

    /// Starts HAProxy on core 0, one thread; the playlist is in its memory.
    pub(crate) fn haproxy(&self) -> Result<Server, BenchError> {
        let at = self.directory.display();
        let fields = &self.haproxy_fields;
        let settings = format!(
            "global\n  nbthread 1\n  maxconn 4000\n\
             defaults\n  mode http\n  timeout client 75s\n  timeout connect 5s\n  timeout server 75s\n  \
             timeout http-keep-alive 75s\n  timeout http-request 10s\n\
             frontend viewers\n  bind 0.0.0.0:{HAPROXY} backlog 16384\n  \
             http-request return status 200 content-type application/vnd.apple.mpegurl file {at}/playlist.m3u8{fields} \
             if {{ path_end .m3u8 }}\n  \
             http-request redirect location http://10.213.0.1:8080/live/bench/index.m3u8 code 302 set-cookie edge=edge1 \
             if {{ path_beg /go/ }}\n  \
             http-request return status 404\n"
        );
        let path = self.directory.join("haproxy.cfg");
        write(&path, &settings)?;
        let words = ["haproxy", "-db", "-f", &path.display().to_string()].map(str::to_owned);
        Server::start("haproxy", "0", &words, &[HAPROXY], &self.directory)
    }
}
