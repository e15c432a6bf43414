# SPDX-License-Identifier: GPL-2.0-or-later
# wine.sh build FOLDER: makes a Windows in FOLDER; wine.sh run FOLDER: runs programs in it: cmd with arithmetic and files, the registry, find, sort,
# JScript, and winproc.c. Programs write to a file, for what Wine starts beside them keeps a pipe open for seconds.
export WINEPREFIX=/tmp/wine WINEDEBUG=-all WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe=' DISPLAY=
server=/usr/lib/wine/wineserver64
wine() {
	timeout 900 /usr/lib/wine/wine64 "$@" >/tmp/said 2>/dev/null
	status=$?
	tr -d '\r' </tmp/said
	[ $status = 0 ] || echo "$1: status $status"
}
case $1 in
build)
	wine wineboot -i
	$server -w
	rm -rf "$2"
	mkdir -p "$2"
	cp -a /tmp/wine/*.reg /tmp/wine/drive_c "$2"
	echo disable >"$2/.update-timestamp"
	# Wine's own libraries need not be there twice.
	cd "$2/drive_c/windows/system32" || exit
	for f in *.*; do
		for from in /usr/lib/x86_64-linux-gnu/wine/x86_64-windows/$f /usr/share/wine/nls/$f; do
			cmp -s "$f" "$from" && ln -sf "$from" "$f"
		done
	done
	rm -rf ../resources ../winsxs ../twain_64 spool Speech
	exec x86_64-w64-mingw32-gcc-win32 -O1 -o "$2/winproc.exe" "$SRC/winproc.c"
	;;
esac
mkdir -p /tmp/wine/dosdevices
cp "$2"/*.reg "$2/.update-timestamp" /tmp/wine
ln -s "$2/drive_c" /tmp/wine/drive_c
ln -s ../drive_c /tmp/wine/dosdevices/c:
ln -s / /tmp/wine/dosdevices/z:
cat >/tmp/job.bat <<'END'
@echo off
set /a x=(12345*678)%%1009+(1^<^<20)
echo %x%
for /l %%i in (1,1,40) do set /a x=x*31+%%i
echo %x%
if exist c:\windows\system32\kernel32.dll echo kernel32 is there
md z:\tmp\t
for %%f in (b c a) do echo line %%f>>z:\tmp\t\f.txt
type z:\tmp\t\f.txt
sort < z:\tmp\t\f.txt
find "line b" z:\tmp\t\f.txt
copy z:\tmp\t\f.txt z:\tmp\t\g.txt >nul
fc z:\tmp\t\f.txt z:\tmp\t\g.txt >nul && echo same
call :sub one two
exit /b 7
:sub
echo sub %1 %2 %~n0
END
cat >/tmp/a.js <<'END'
var s = 0;
for (var i = 0; i < 20000; i++)
	s = (s * 31 + i) % 65537;
WScript.Echo(s);
try { null.x } catch (e) { WScript.Echo("caught") }
WScript.Echo([3, 1, 2].sort().join());
END
wine cmd /c 'Z:\tmp\job.bat'
wine "$2/winproc.exe"
wine reg add 'HKCU\Software\Test' /v n /t REG_DWORD /d 305419896 /f
wine reg query 'HKCU\Software\Test'
wine cscript 'Z:\tmp\a.js'
wine hostname
$server -k
