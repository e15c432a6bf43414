# SPDX-License-Identifier: GPL-2.0-or-later
# ffmpeg: pictures and sound of its own making through codecs, with all assembler and with sets of it; sums of what is encoded and decoded.
quiet='-hide_banner -nostdin -loglevel error -y'
video='-f lavfi -i testsrc2=size=160x128:rate=10:duration=0.5'
audio='-f lavfi -i aevalsrc=sin(n*n/90000):d=0.3:s=22050'
exact='-bitexact -flags +bitexact -fflags +bitexact -sws_flags +accurate_rnd+bitexact'
for cpu in sse2 avx2; do
	case $cpu in
	avx2) flags= all="mpeg4 ffv1 prores:yuv422p10le" sounds=flac ;;
	*) flags="-cpuflags $cpu" all="snow mjpeg:yuvj420p" sounds=ac3_fixed ;;
	esac
	for c in $all; do
		f=${c#*:} c=${c%:*} size=
		[ "$f" != "$c" ] || f=yuv420p
		case $c in snow) size='-strict -2' ;; esac
		ffmpeg $quiet $flags $video $exact $size -pix_fmt $f -threads 1 -c:v $c -f nut /tmp/v.nut && echo "$cpu $c $(md5sum </tmp/v.nut)" &&
			ffmpeg $quiet $flags $exact -threads 2 -i /tmp/v.nut $exact -f md5 -
	done
	for c in $sounds; do
		ffmpeg $quiet $flags $audio $exact -ar 48000 -c:a $c -f nut /tmp/a.nut 2>/dev/null && echo "$cpu $c $(md5sum </tmp/a.nut)" &&
			ffmpeg $quiet $flags $exact -i /tmp/a.nut $exact -c:a pcm_s16le -f md5 -
	done
	ffmpeg $quiet $flags $video $exact -vf "scale=201:97,hflip,transpose=1,unsharp,gblur=2,hqdn3d,eq=contrast=1.2,format=yuv420p" -f md5 -
done
ffmpeg $quiet $video -pix_fmt yuv420p -c:v libx264 -threads 1 -x264-params 'threads=1:lookahead-threads=1:no-info=1' -bitexact -f md5 -
ffmpeg $quiet $video -pix_fmt yuv420p -c:v libvpx-vp9 -threads 1 -b:v 100k -cpu-used 4 -bitexact -f md5 -
