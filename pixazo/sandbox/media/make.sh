#!/bin/sh
# Makes the two videos the sandbox hands out: landscape.mp4 (640x360) and
# portrait.mp4 (360x640), next to this script. Each is 5 s of H.264 (yuv420p,
# 24 fps) with a soft AAC chord, the moov box in front of mdat so that a player
# can start before the download ends, and under 100 KB because both are embedded
# in the binary.
#
# Usage: ./make.sh        needs ffmpeg with libx264, and fontconfig with a bold sans font
#
# One thread, a fixed seed and the bitexact flags make the same ffmpeg and font
# give the same bytes on every run.
set -eu
cd "$(dirname "$0")"
font=$(fc-match --format '%{file}' sans:bold)

# make NAME WIDTH HEIGHT: the title sways over a turning gradient, and a bar
# grows along the lower edge, so that a frozen or cut video shows at a glance.
make() {
	w=$2 h=$3
	ffmpeg -nostdin -hide_banner -loglevel error -y -filter_complex_threads 1 \
		-f lavfi -i "gradients=size=${w}x${h}:rate=24:duration=5:nb_colors=2:c0=0x0e1a38:c1=0x7a4aa8:x0=0:y0=0:x1=$w:y1=$h:speed=0.012:seed=7" \
		-f lavfi -i "color=c=0x58d0c0:size=${w}x8:rate=24:duration=5" \
		-f lavfi -i "aevalsrc='0.03*(sin(2*PI*220*t)+sin(2*PI*277.18*t)+sin(2*PI*329.63*t))*(0.7+0.3*sin(2*PI*0.4*t))':sample_rate=44100:duration=5" \
		-filter_complex "
			[0:v][1:v]overlay=x='-w+w*t/5':y=H-h:eval=frame,
			drawtext=fontfile='$font':text='SANDBOX':fontsize=52:fontcolor=white:
				x='(w-text_w)/2+w/60*sin(2*PI*t/5)':y='(h-text_h)/2-20',
			drawtext=fontfile='$font':text='sample video, nothing was generated':fontsize=14:fontcolor=0xd0d8f0:
				x='(w-text_w)/2':y='h/2+36',
			format=yuv420p[v];
			[2:a]afade=t=in:d=0.5,afade=t=out:st=4.3:d=0.7[a]" \
		-map '[v]' -map '[a]' -t 5 \
		-c:v libx264 -preset veryslow -crf 26 -profile:v main -threads 1 -g 48 \
		-c:a aac -b:a 32k -ac 1 \
		-flags:v +bitexact -flags:a +bitexact -fflags +bitexact -map_metadata -1 \
		-movflags +faststart "$1"
}

make landscape.mp4 640 360
make portrait.mp4 360 640
