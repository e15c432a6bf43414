# SPDX-License-Identifier: GPL-2.0-or-later
# Wine: a prefix is made, programs of its own are run: cmd with arithmetic and files, the registry, find, sort, taskkill of one that waits.
export WINEPREFIX=/tmp/wine WINEDEBUG=-all WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe=' DISPLAY=
wine() { timeout 600 /usr/lib/wine/wine64 "$@" 2>/dev/null | tr -d '\r'; }
wine wineboot -i
/usr/lib/wine/wineserver64 -w
cat >/tmp/job.bat <<'END'
@echo off
set /a x=(12345*678)%%1009+(1^<^<20)
echo %x%
for /l %%i in (1,1,40) do set /a x=x*31+%%i
echo %x%
if exist c:\windows\system32\kernel32.dll echo kernel32 is there
md c:\t
for %%f in (b c a) do echo line %%f>>c:\t\f.txt
type c:\t\f.txt
sort < c:\t\f.txt
find /c "line" c:\t\f.txt
copy c:\t\f.txt c:\t\g.txt >nul
fc c:\t\f.txt c:\t\g.txt >nul && echo same
call :sub one two
exit /b 7
:sub
echo sub %1 %2 %~n0
END
wine cmd /c 'Z:\tmp\job.bat'
wine reg add 'HKCU\Software\Test' /v n /t REG_DWORD /d 305419896 /f
wine reg query 'HKCU\Software\Test'
wine cmd /c ver | grep -c Windows
wine expand /? | head -n 2
wine hostname
wine rundll32 setupapi.dll,InstallHinfSection x 128 c:\\none.inf
wine regsvr32 /s jscript.dll vbscript.dll
printf 'var s=0; for (var i=0;i<20000;i++) s=(s*31+i)%%65537; WScript.Echo(s); try { null.x } catch (e) { WScript.Echo("caught") } WScript.Echo([3,1,2].sort().join());' >/tmp/a.js
wine cscript 'Z:\tmp\a.js'
/usr/lib/wine/wineserver64 -k
