#!/bin/bash
# swtpm and tpm2-tools judge our TPM code: the challenge that we make is opened by tpm2_activatecredential,
# the quote that tpm2_quote makes is verified by us as it is by tpm2_checkquote, what was changed is refused,
# and a changed register is named. Run after `swift build --product attestation-judge`; JUDGE names the binary.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh
judge=$(realpath "${JUDGE:-.build/debug/attestation-judge}")
work=$(mktemp -d)
tpm=
clean() {
    if [ -n "$tpm" ]; then kill "$tpm" 2>/dev/null || true; wait "$tpm" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean EXIT
cd "$work"
passed=0 failed=0
check() { # WHAT COMMAND…: the command succeeds
    local what=$1; shift
    if "$@" >out 2>&1; then passed=$((passed + 1)); echo "ok    $what"
    else failed=$((failed + 1)); echo "FAIL  $what"; sed 's/^/      /' out | head -20; fi
}
says() { # WHAT TEXT COMMAND…: the command fails, and its output has the text
    local what=$1 text=$2; shift 2
    if ! "$@" >out 2>&1 && grep -qF -- "$text" out; then passed=$((passed + 1)); echo "ok    $what"
    else failed=$((failed + 1)); echo "FAIL  $what"; sed 's/^/      /' out | head -20; fi
}

start_tpm() {
    rm -f sock
    mkdir -p tpm-state
    swtpm socket --tpm2 --tpmstate dir=tpm-state --server type=unixio,path=sock --ctrl type=unixio,path=sock.ctrl --flags not-need-init,startup-clear >swtpm.log 2>&1 &
    tpm=$!
    for _ in $(seq 100); do [ -S sock ] && break; sleep 0.05; done
}
export TPM2TOOLS_TCTI=swtpm:path=$work/sock
start_tpm
values() { # the SHA-256 bank's registers, `register hex` a line
    tpm2_pcrread "sha256:$1" | sed -n 's/^ *\([0-9]\+\) *: 0x\([0-9A-F]\+\)$/\1 \2/p'
}
quote() { # NAME REGISTERS NONCE
    tpm2_quote -Q -c ak.ctx -l "sha256:$2" -q "$3" -g sha256 --scheme "$scheme" -m "$1.attest" -s "$1.sig" -o "$1.pcrs"
    tpm2_flushcontext -Q -t
    values "$2" >"$1.values"
}
all=0,1,2,3,4,5,6,7
nonce=$(openssl rand -hex 32)
secret=$(openssl rand -hex 32)

for kinds in rsa:rsa:rsassa rsa:rsa:rsapss rsa:ecc:ecdsa ecc:ecc:ecdsa ecc:rsa:rsassa; do
    IFS=: read -r ek ak scheme <<<"$kinds"
    name="$ek endorsement key, $ak attestation key ($scheme)"
    tpm2_createek -Q -c ek.ctx -G "$ek" -u ek.pub
    tpm2_createak -Q -C ek.ctx -c ak.ctx -G "$ak" -g sha256 -s "$scheme" -u ak.pub -n ak.name
    tpm2_flushcontext -Q -t
    check "$name: the name is the TPM's" [ "$("$judge" name ak.pub)" = "$(xxd -p -c 100 ak.name)" ]

    check "$name: a challenge is made" "$judge" challenge ek.pub "$(xxd -p -c 100 ak.name)" "$secret" challenge
    activate() {
        tpm2_startauthsession -Q --policy-session -S session.ctx
        tpm2_policysecret -Q -S session.ctx -c e
        local result=0
        tpm2_activatecredential -Q -c ak.ctx -C ek.ctx -i "$1" -o opened -P session:session.ctx || result=1
        tpm2_flushcontext -Q session.ctx
        tpm2_flushcontext -Q -t
        return $result
    }
    check "$name: the TPM opens the challenge" activate challenge
    check "$name: what it found is the secret" [ "$(xxd -p -c 100 opened)" = "$secret" ]
    python3 -c 'import sys; b = bytearray(open("challenge", "rb").read()); b[20] ^= 1; open("broken", "wb").write(b)'
    says "$name: the TPM refuses a changed challenge" "0x" activate broken
    "$judge" challenge ek.pub "$(xxd -p -c 100 ak.name | sed 's/...$/000/')" "$secret" stranger
    says "$name: the TPM refuses a challenge for another key" "0x" activate stranger

    quote good "$all" "$nonce"
    tpm2_readpublic -Q -c ak.ctx -f pem -o ak.pem
    tpm2_flushcontext -Q -t
    # tpm2_checkquote 5.4 knows no PSS; OpenSSL does.
    checkquote() {
        if [ "$scheme" = rsapss ]; then
            tail -c +7 "$1.sig" >plain.sig
            openssl dgst -sha256 -verify ak.pem -sigopt rsa_padding_mode:pss -signature plain.sig "$1.attest"
        else
            tpm2_checkquote -u ak.pem -m "$1.attest" -s "$1.sig" -f "$1.pcrs" -g sha256 -q "$nonce"
        fi
    }
    check "$name: the judge takes the quote" checkquote good
    check "$name: so do we" "$judge" verify good.attest good.sig ak.pub "$nonce" good.values
    check "$name: it fits a policy of the same values" "$judge" verify good.attest good.sig ak.pub "$nonce" good.values --policy good.values
    says "$name: an old nonce is refused" "nonce" "$judge" verify good.attest good.sig ak.pub "$(openssl rand -hex 32)" good.values
    # One changed byte, wherever in the quote.
    cat >flip.py <<'PY'
import subprocess, sys
judge, nonce = sys.argv[1:]
quote = open("good.attest", "rb").read()
for index in range(len(quote)):
    changed = bytearray(quote)
    changed[index] ^= 1
    open("flipped", "wb").write(changed)
    result = subprocess.run([judge, "verify", "flipped", "good.sig", "ak.pub", nonce, "good.values"], capture_output=True, text=True)
    if result.returncode != 1 or not result.stdout.startswith("refused"):
        sys.exit(f"byte {index}: {result.stdout}")
PY
    check "$name: one changed byte anywhere is refused" python3 flip.py "$judge" "$nonce"
    sed '3s/.$/0/;3s/ ./ 7/' good.values >wrong.values
    says "$name: register values other than the signed ones are refused" "not those that the TPM signed" \
        "$judge" verify good.attest good.sig ak.pub "$nonce" wrong.values
    quote few 0,1,2,3 "$nonce"
    says "$name: a quote that leaves registers out is refused" "PCR 4, 5, 6, 7" \
        "$judge" verify few.attest few.sig ak.pub "$nonce" few.values
    cp good.values policy.values
    tpm2_pcrextend 4:sha256="$(openssl rand -hex 32)"
    quote later "$all" "$nonce"
    check "$name: the judge takes the quote of a changed machine" checkquote later
    says "$name: we name the register that changed" "differs: PCR 4 is" \
        "$judge" verify later.attest later.sig ak.pub "$nonce" later.values --policy policy.values
    check "$name: and that one alone" [ "$(grep -c differs out)" = 1 ]
    says "$name: a lie about the changed register is refused" "not those that the TPM signed" \
        "$judge" verify later.attest later.sig ak.pub "$nonce" good.values --policy policy.values
done

# A key that signs anything could be made to sign a quote that no TPM made.
tpm2_createprimary -Q -C o -g sha256 -G rsa2048:rsassa-sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' -c plain.ctx
tpm2_flushcontext -Q -t
tpm2_readpublic -Q -c plain.ctx -o plain.pub
tpm2_quote -Q -c plain.ctx -l "sha256:$all" -q "$nonce" -g sha256 -m plain.attest -s plain.sig
values "$all" >plain.values
says "a key that signs anything is no attestation key" "no attestation key" "$judge" verify plain.attest plain.sig plain.pub "$nonce" plain.values
says "an endorsement key is none either" "no attestation key" "$judge" verify later.attest later.sig ek.pub "$nonce" later.values

# A TPM with a maker's certificate, from an authority that swtpm makes for the purpose.
tpm2_shutdown -c
kill "$tpm"; wait "$tpm" 2>/dev/null || true
mkdir authority certified
cat >localca.conf <<EOF
statedir = $work/authority
signingkey = $work/authority/signkey.pem
issuercert = $work/authority/issuercert.pem
certserial = $work/authority/certserial
EOF
: >localca.options
cat >setup.conf <<EOF
create_certs_tool = $(command -v swtpm_localca)
create_certs_tool_config = $work/localca.conf
create_certs_tool_options = $work/localca.options
EOF
check "swtpm_setup makes a TPM with a certificate" swtpm_setup --tpm2 --tpmstate certified --create-ek-cert --config setup.conf --display
rm -rf tpm-state && mv certified tpm-state
start_tpm
tpm2_createek -Q -c ek.ctx -G rsa -u ek.pub
tpm2_flushcontext -Q -t
tpm2_nvread -Q 0x01c00002 -o ek.crt
cat authority/issuercert.pem authority/*root*cert.pem >makers.pem
check "OpenSSL takes the certificate from those makers" openssl verify -ignore_critical -CAfile makers.pem ek.crt
check "so do we" "$judge" certificate ek.crt ek.pub makers.pem
says "from a maker that nobody vouches for it is refused" "nobody here vouches" "$judge" certificate ek.crt ek.pub "$(ls authority/*root*cert.pem)"
says "for another key it is refused" "of another key" "$judge" certificate ek.crt ak.pub makers.pem
python3 -c 'b = bytearray(open("ek.crt", "rb").read()); b[-20] ^= 1; open("forged.crt", "wb").write(b)'
says "with a changed signature it is refused" "failed" "$judge" certificate forged.crt ek.pub makers.pem
tpm2_createek -Q -c ek.ctx -G ecc -u other.pub
tpm2_flushcontext -Q -t
says "and for this TPM's key on a curve" "of another key" "$judge" certificate ek.crt other.pub makers.pem

# Two boots of one machine, measured as firmware does; between them one byte of the kernel changed.
cat >measure.py <<'PY'
"""measure.py KERNEL LOG: extends the TPM as a firmware that boots KERNEL would, and writes its event log."""
import hashlib, struct, subprocess, sys
kernel, log = open(sys.argv[1], "rb").read(), open(sys.argv[2], "wb")
spec = b"Spec ID Event03\0" + struct.pack("<IBBBB", 0, 0, 2, 0, 2) + struct.pack("<I", 1) + struct.pack("<HH", 11, 32) + b"\0"
log.write(struct.pack("<II20sI", 0, 3, bytes(20), len(spec)) + spec)
def measure(register, kind, data, measured=None):
    digest = hashlib.sha256(data if measured is None else measured).digest()
    log.write(struct.pack("<III", register, kind, 1) + struct.pack("<H", 11) + digest + struct.pack("<I", len(data)) + data)
    subprocess.run(["tpm2_pcrextend", f"{register}:sha256={digest.hex()}"], check=True)
measure(0, 8, "1.0".encode("utf-16-le") + b"\0\0")
measure(4, 0x80000007, b"Calling EFI Application from Boot Option")
for register in range(8):
    measure(register, 4, bytes(4))
measure(4, 0x80000003, struct.pack("<QQQQ", 0, len(kernel), 0, 0), kernel)
PY
boot() { # KERNEL NAME
    tpm2_shutdown -c
    kill "$tpm"; wait "$tpm" 2>/dev/null || true
    start_tpm
    python3 measure.py "$1" "$2.log"
    tpm2_quote -Q -c 0x81010002 -l "sha256:$all" -q "$nonce" -g sha256 -m "$2.attest" -s "$2.sig" -o "$2.pcrs"
    values "$all" >"$2.values"
}
tpm2_flushcontext -Q -t
tpm2_createek -Q -c ek.ctx -G ecc -u ek.pub
tpm2_createak -Q -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub
tpm2_flushcontext -Q -t
tpm2_evictcontrol -Q -C o -c ak.ctx 0x81010002
head -c 100000 /dev/urandom >kernel
cp kernel changed
python3 -c 'b = bytearray(open("changed", "rb").read()); b[5000] ^= 1; open("changed", "wb").write(b)'
boot kernel first
check "tpm2_eventlog replays the log to the TPM's registers" sh -c 'tpm2_eventlog first.log | sed -n "/^pcrs:/,\$p" | grep -qi "$(sed -n "s/^4 //p" first.values)"'
check "a first boot is taken on trust, and its log leads to its registers" \
    "$judge" verify first.attest first.sig ak.pub "$nonce" first.values --log first.log
boot kernel again
check "the next boot of the same is attested" \
    "$judge" verify again.attest again.sig ak.pub "$nonce" again.values --log again.log --policy first.values --policy-log first.log
boot changed other
says "one changed byte of the kernel is refused, with the register and the measurement" "measurement 3 changed: UEFI boot program" \
    "$judge" verify other.attest other.sig ak.pub "$nonce" other.values --log other.log --policy first.values --policy-log first.log
check "and it is register 4 alone" [ "$(grep -c 'differs: PCR 4 ' out):$(grep -c differs out)" = 1:1 ]
says "a log that hides the change explains nothing, and the register is named all the same" "differs: PCR 4 " \
    "$judge" verify other.attest other.sig ak.pub "$nonce" other.values --log first.log --policy first.values --policy-log first.log
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
