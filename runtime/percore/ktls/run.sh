#!/bin/bash
# Proves TLS by the kernel: Debian's stock kernel in a small machine (qemu, no virtualisation needed), and in it the
# stories of tests/ktls.rs, then those of TLS in tests/tls.rs and faults.rs once more with the kernel's TLS, and the program
# itself (mascaret/tests/reload.rs).
#
#     run.sh                        # all of it
#     run.sh faults forty_tls       # one file of tests, with what its harness is told; any other file will do too
#
# For correctness only: what it takes says nothing. Needs: dpkg-deb, qemu-system-x86_64, cpio, busybox-static, kmod,
# and apt for the kernel's package, which is unpacked and not installed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=${CARGO_TARGET_DIR:-$root/target}/ktls
cargo=${CARGO:-cargo}
within=${KTLS_WITHIN:-600}
mkdir -p "$work"

# The kernel and its modules, fetched once. Debian 12's; what this machine runs does not matter.
package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
[ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64"; exit 1; }
if [ ! -e "$work/kernel/$package" ]; then
	rm -rf "$work/kernel" && mkdir -p "$work/kernel"
	(cd "$work/kernel" && apt-get download -qq -o APT::Sandbox::User=root "$package")
	dpkg-deb -x "$work"/kernel/*.deb "$work/kernel"
	rm "$work"/kernel/*.deb
	touch "$work/kernel/$package"
fi
kernel=$(echo "$work"/kernel/boot/vmlinuz-*)
modules=$(echo "$work"/kernel/lib/modules/*)

# The stories, as they are built for this machine.
built() {
	"$cargo" test -q -p "$1" --test "$2" --no-run --message-format=json |
		sed -n '/"kind":\["test"\]/s/.*"executable":"\([^"]*\)".*/\1/p' | tail -1
}
programs=()
tests=${1:-ktls tls faults reload}
rm -rf "$work/image" && mkdir -p "$work"/image/{bin,dev,proc,sys,tmp,etc,modules,tests,lib64}
for test in $tests; do
	package=percore
	[ "$test" != reload ] || package=mascaret
	file=$(built $package "$test")
	[ -x "$file" ] || { echo "no such test: $test"; exit 1; }
	cp "$file" "$work/image/tests/$test"
	programs+=("$work/image/tests/$test")
	[ "$package" = percore ] && continue
	# The program it starts, where it looks for it.
	program=$(realpath "$(dirname "$file")/../mascaret")
	install -D "$program" "$work/image$program"
	strip --strip-debug "$work/image$program"
	programs+=("$work/image$program")
done
# What they are linked to, where they look for it.
for library in $(ldd "${programs[@]}" | awk '$2 == "=>" {print $3} $1 ~ /^\// && NF == 2 {print $1}' | grep -v ':$' | sort -u); do
	install -D "$(realpath "$library")" "$work/image$library"
done
cp "$(command -v busybox)" "$work/image/bin/busybox"

# Modules in the order in which they need each other. No AES-NI: its cipher would be emulated all the same.
order=()
want() {
	local name=$1 file dependency
	file=$(find "$modules" -name "${name//_/[-_]}.ko" | head -1)
	[ -n "$file" ] || return 0 # built in
	[[ " ${order[*]} " == *" $file "* ]] && return 0
	for dependency in $(modinfo -F depends "$file" | tr , ' '); do want "$dependency"; done
	order+=("$file")
}
for module in tls gcm ghash-generic ctr seqiv chacha20poly1305 chacha_generic poly1305_generic; do want "$module"; done
for at in "${!order[@]}"; do
	cp "${order[$at]}" "$work/image/modules/$(printf %02d "$at")-$(basename "${order[$at]}")"
done

if [ $# -gt 0 ]; then
	echo "$*" >"$work/image/stories"
else
	cat >"$work/image/stories" <<'STORIES'
ktls --ignored --test-threads=2
tls --test-threads=2
faults --test-threads=1 tls certificate
reload --test-threads=1
STORIES
fi
cat >"$work/image/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm
for module in /modules/*.ko; do insmod $module || echo "insmod $module failed"; done
ip link set lo up
echo "kernel $(uname -r), ulp: $(cat /proc/sys/net/ipv4/tcp_available_ulp)"
export MASCARET_KERNEL_TLS=auto
verdict=passed
while read -r story; do
	echo "== $story"
	/tests/$story </dev/null || verdict=FAILED
done </stories
cat /proc/net/tls_stat
echo "KTLS $verdict"
poweroff -f
INIT
chmod +x "$work/image/init"
(cd "$work/image" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initramfs.gz"

log=$work/serial.log
status=0
timeout "$within" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1536 -nographic -no-reboot -nic none \
	-kernel "$kernel" -initrd "$work/initramfs.gz" \
	-append "console=ttyS0 quiet panic=-1" </dev/null 2>&1 | tr -d '\r' | tee "$log" || status=$?
if ! grep -q '^KTLS passed' "$log"; then
	echo "ktls: FAILED (status $status; 124 is ${within} s without a verdict); the whole console is in $log"
	exit 1
fi
echo "ktls: passed on $(grep -m1 -o 'kernel [^,]*' "$log")"
