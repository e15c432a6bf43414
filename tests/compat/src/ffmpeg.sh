# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2086
# ffmpeg: pictures and sound of its own making through codecs, with SSE2 alone and with all that there is; sums of what is encoded and decoded.
quiet='-hide_banner -nostdin -loglevel error -y'
video='-f lavfi -i testsrc2=size=160x128:rate=10:duration=0.4'
audio='-f lavfi -i aevalsrc=sin(n*n/90000):d=0.3:s=22050'
exact='-bitexact -flags +bitexact -fflags +bitexact -sws_flags +accurate_rnd+bitexact'
both() { # encodes and decodes: flags, input, output's options, codec, how to decode
		ffmpeg $quiet $1 $2 $exact $3 -f nut /tmp/v.nut && echo "$1 $4 $(md5sum </tmp/v.nut)" && ffmpeg $quiet $1 $exact -threads 2 -i /tmp/v.nut $exact $5 -f md5 -
}
for c in mpeg4:yuv420p ffv1:yuv420p prores:yuv422p10le; do
	both '' "$video" "-pix_fmt ${c#*:} -threads 1 -c:v ${c%:*}" "$c" ''
done
both '-cpuflags sse2' "$video" "-pix_fmt yuvj420p -threads 1 -c:v mjpeg" mjpeg ''
both '' "$audio" '-ar 48000 -c:a flac' flac '-c:a pcm_s16le'
both '-cpuflags sse2' "$audio" '-ar 48000 -c:a ac3_fixed' ac3 '-c:a pcm_s16le'
for flags in '' '-cpuflags sse2'; do
		ffmpeg $quiet $flags $video $exact -vf 'scale=201:97,hflip,transpose=1,unsharp,gblur=2,hqdn3d,eq=contrast=1.2,format=yuv420p' -f md5 -
done
ffmpeg $quiet $video -pix_fmt yuv420p -c:v libx264 -threads 1 -x264-params 'threads=1:lookahead-threads=1:no-info=1' -bitexact -f md5 -
ffmpeg $quiet $video -pix_fmt yuv420p -c:v libvpx-vp9 -threads 1 -b:v 100k -cpu-used 4 -bitexact -f md5 -
