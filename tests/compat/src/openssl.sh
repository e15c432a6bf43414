# SPDX-License-Identifier: GPL-2.0-or-later
# OpenSSL's digests, ciphers, functions that derive keys, and public keys that sign and verify.
head -c 100003 /bin/bash >/tmp/in
{
for d in md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-224 sha3-512 blake2b512 blake2s256 sm3 ripemd160; do
	openssl dgst -$d -r /tmp/in
done
for c in aes-128-cbc aes-192-ecb aes-256-ctr aes-128-cfb aes-256-ofb aria-128-cbc camellia-256-cbc chacha20 des-ede3-cbc sm4-ctr; do
	openssl enc -$c -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 0f0e0d0c0b0a09080706050403020100 -in /tmp/in 2>/dev/null >/tmp/out
	echo "$c $(openssl dgst -md5 -r /tmp/out)"
	openssl enc -d -$c -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 0f0e0d0c0b0a09080706050403020100 -in /tmp/out 2>/dev/null | cmp - /tmp/in
done
openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:secret -kdfopt salt:salty -kdfopt iter:2000 PBKDF2
openssl kdf -keylen 32 -kdfopt pass:secret -kdfopt salt:salty -kdfopt n:256 -kdfopt r:8 -kdfopt p:1 SCRYPT
openssl mac -digest SHA512 -macopt hexkey:0102 -in /tmp/in HMAC
openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -in /tmp/in Poly1305
openssl mac -cipher AES-128-GCM -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt iv:000102030405060708090a0b -in /tmp/in GMAC 2>&1 | tail -n 1
} 2>&1
for kind in "RSA -pkeyopt rsa_keygen_bits:1024" "EC -pkeyopt ec_paramgen_curve:P-256" ED25519 ED448; do
	openssl genpkey -algorithm $kind -out /tmp/key 2>/dev/null
	openssl pkey -in /tmp/key -pubout -out /tmp/pub
	case $kind in
	ED*) openssl pkeyutl -sign -inkey /tmp/key -rawin -in /tmp/pub -out /tmp/sig && openssl pkeyutl -verify -pubin -inkey /tmp/pub -rawin -in /tmp/pub -sigfile /tmp/sig ;;
	*) openssl dgst -sha256 -sign /tmp/key -out /tmp/sig /tmp/in && openssl dgst -sha256 -verify /tmp/pub -signature /tmp/sig /tmp/in ;;
	esac
done
openssl prime -generate -bits 256 | openssl prime -checks 4 $(cat) | sed 's/.* is/is/'
