; The installer of Windows for the person at the computer: no administrator, no questions that have an answer already.
; Made by installers/windows/build:
;   makensis -DVERSION=0.1.0 -DRELEASE=FOLDER -DOUT=setup.exe photosync.nsi
; FOLDER holds bin\*.exe and doc\*, as in the .zip. Silent: setup.exe /S [/D=FOLDER], and uninstall.exe /S.
Unicode true
Target amd64-unicode
!include "LogicLib.nsh"
!include "MUI2.nsh"

!define KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\PhotoSync"
!define RUN "Software\Microsoft\Windows\CurrentVersion\Run"

Name "PhotoSync"
OutFile "${OUT}"
RequestExecutionLevel user
InstallDir "$LOCALAPPDATA\Programs\PhotoSync"
InstallDirRegKey HKCU "${KEY}" "InstallLocation"
!ifdef QUICK
  SetCompressor zlib
!else
  SetCompressor /SOLID lzma
!endif
ManifestDPIAware true
ManifestLongPathAware true
VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "PhotoSync"
VIAddVersionKey "ProductVersion" "${VERSION}"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "FileDescription" "Installs PhotoSync"
VIAddVersionKey "LegalCopyright" "MIT licence"

!insertmacro MUI_PAGE_LICENSE "${RELEASE}/doc/LICENSE"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!define MUI_FINISHPAGE_RUN "$INSTDIR\bin\photosync-tray.exe"
!define MUI_FINISHPAGE_TEXT "The icon beside the clock shows the addresses for the phone. Photos go to $LOCALAPPDATA\PhotoSync."
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!define MUI_UNFINISHPAGE_NOAUTOCLOSE
!insertmacro MUI_LANGUAGE "English"

; Programs that run cannot be replaced. The tray ends at once, and starts no server again; the server is asked to. One on
; other data than the usual is ended, too: it stands that.
!macro STOP
  ${If} ${FileExists} "$INSTDIR\bin\photosync-server.exe"
    nsExec::Exec 'taskkill /F /IM photosync-tray.exe'
    Pop $0
    nsExec::Exec '"$INSTDIR\bin\photosync-server.exe" stop'
    Pop $0
    nsExec::Exec 'taskkill /F /IM photosync-server.exe'
    Pop $0
  ${EndIf}
!macroend

Section "PhotoSync"
  !insertmacro STOP
  SetOverwrite on
  SetOutPath "$INSTDIR\bin"
  File "${RELEASE}/bin/photosync-server.exe"
  File "${RELEASE}/bin/photosync.exe"
  File "${RELEASE}/bin/photosync-tray.exe"
  SetOutPath "$INSTDIR\doc"
  File "${RELEASE}/doc/LICENSE"
  File "${RELEASE}/doc/README.md"
  File "${RELEASE}/doc/OPERATIONS.md"
  SetOutPath "$INSTDIR"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  CreateShortcut "$SMPROGRAMS\PhotoSync.lnk" "$INSTDIR\bin\photosync-tray.exe"
  WriteRegStr HKCU "${KEY}" "DisplayName" "PhotoSync"
  WriteRegStr HKCU "${KEY}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${KEY}" "Publisher" "PhotoSync"
  WriteRegStr HKCU "${KEY}" "DisplayIcon" "$INSTDIR\bin\photosync-tray.exe"
  WriteRegStr HKCU "${KEY}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${KEY}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${KEY}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${KEY}" "NoModify" 1
  WriteRegDWORD HKCU "${KEY}" "NoRepair" 1
SectionEnd

; Files by name and folders only if they are empty: what a person put there stays.
Section "Uninstall"
  !insertmacro STOP
  Delete "$INSTDIR\bin\photosync-server.exe"
  Delete "$INSTDIR\bin\photosync.exe"
  Delete "$INSTDIR\bin\photosync-tray.exe"
  Delete "$INSTDIR\doc\LICENSE"
  Delete "$INSTDIR\doc\README.md"
  Delete "$INSTDIR\doc\OPERATIONS.md"
  RMDir "$INSTDIR\bin"
  RMDir "$INSTDIR\doc"
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
  Delete "$SMPROGRAMS\PhotoSync.lnk"
  DeleteRegKey HKCU "${KEY}"
  DeleteRegValue HKCU "${RUN}" "PhotoSync"
  IfFileExists "$LOCALAPPDATA\PhotoSync\*.*" 0 done
    DetailPrint "Photos and settings stay in $LOCALAPPDATA\PhotoSync."
    MessageBox MB_OK|MB_ICONINFORMATION "PhotoSync is removed. Photos and settings stay in $LOCALAPPDATA\PhotoSync." /SD IDOK
  done:
SectionEnd
