# Installs PhotoSync on Windows from a signed release, upgrades it, or takes it away again. PowerShell 5.1 and 7.
#
#   .\install.ps1 -Desktop       for the person at this computer, with the icon beside the clock; no administrator needed
#   .\install.ps1 -Server        a service that starts with the computer; in a PowerShell that runs as administrator
#   .\install.ps1 -Uninstall     removes what this script wrote; photos and settings stay
#
#   -Prefix DIR    where programs go [Desktop: %LOCALAPPDATA%\Programs\PhotoSync, Server: %ProgramFiles%\PhotoSync]
#   -Data DIR      where photos go [Desktop: %LOCALAPPDATA%\PhotoSync, Server: %ProgramData%\PhotoSync]
#   -Version V     this version [the only one of the release source]
#   -From WHAT     folder or URL with the release [PHOTOSYNC_UPDATE_URL, else the project's releases]
#   -Key FILE      public key (PEM, P-256) that must have signed the release [the project's]
#   -FromSource    build with cargo, in a checkout (this one, or -From DIR)
#   -DryRun        say what would be done, and write nothing
#
# Piped from a download: & ([scriptblock]::Create((Invoke-RestMethod URL/install.ps1))) -Desktop
# Nothing is unpacked before signature and checksum were found right. Nothing is overwritten or removed that this script
# did not write: it keeps a list of its files with their checksums, and writes that first.
param(
  [switch]$Desktop, [switch]$Server, [switch]$Uninstall, [switch]$DryRun, [switch]$FromSource,
  [string]$Prefix, [string]$Data, [string]$Version, [string]$From, [string]$Key
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# Filled in by scripts/package: the project's releases, and the key that signs them (base64 part of its PEM).
$repository = ''
$releaseKey = ''
$target = 'x86_64-pc-windows-gnu'
$self = $PSCommandPath

function Did([string]$What) {
  if ($DryRun) { Write-Output "would $What" } else { Write-Output $What }
}

function Digest([string]$Path) { (Get-FileHash -Algorithm SHA256 -LiteralPath $Path).Hash.ToLowerInvariant() }

function Fetch([string]$Where, [string]$To) {
  if ($Where -match '^https?://') { Invoke-WebRequest -UseBasicParsing -Uri $Where -OutFile $To }
  else { Copy-Item -LiteralPath $Where -Destination $To }
}

# Whether SHA256SUMS is signed by the release key. Windows has ECDSA over P-256 and no Ed25519: releases carry both.
function Test-Signature([string]$Sums, [string]$Signature) {
  $pem = $releaseKey
  if ($Key) { $pem = (Get-Content -LiteralPath $Key | Where-Object { $_ -notmatch '^-' }) -join '' }
  if (-not $pem) { throw 'this build knows no release key: name one with -Key FILE' }
  [byte[]]$der = [Convert]::FromBase64String($pem)
  if ($der.Length -ne 91) { throw 'the release key is no P-256 key' }
  # How Windows takes such a key: "ECS1", the length of a number, two numbers.
  [byte[]]$blob = [byte[]](0x45, 0x43, 0x53, 0x31, 0x20, 0, 0, 0) + $der[27..90]
  $cng = [Security.Cryptography.CngKey]::Import($blob, [Security.Cryptography.CngKeyBlobFormat]::EccPublicBlob)
  $ecdsa = New-Object -TypeName Security.Cryptography.ECDsaCng -ArgumentList $cng
  $sha = [Security.Cryptography.SHA256]::Create()
  [byte[]]$hash = $sha.ComputeHash([IO.File]::ReadAllBytes($Sums))
  return $ecdsa.VerifyHash($hash, [IO.File]::ReadAllBytes($Signature))
}

# Gets a release and unpacks it; returns its folder.
function Get-Release([string]$Work) {
  $source = $From
  if (-not $source) { $source = $env:PHOTOSYNC_UPDATE_URL }
  if (-not $source) {
    if (-not $repository) { throw 'this build has no release source: name one with -From, or build with -FromSource' }
    $source = "$repository/releases/latest/download"
    if ($Version) { $source = "$repository/releases/download/v$Version" }
  }
  $source = $source.TrimEnd('/', '\')
  $sums = Join-Path $Work 'SHA256SUMS'
  Fetch "$source/SHA256SUMS" $sums
  Fetch "$source/SHA256SUMS.p256" "$sums.p256"
  if (-not (Test-Signature $sums "$sums.p256")) {
    throw "the signature of $source/SHA256SUMS is not of the release key; nothing was installed"
  }
  $wanted = '[0-9][0-9A-Za-z.+-]*'
  if ($Version) { $wanted = [regex]::Escape($Version) }
  $found = @(Get-Content -LiteralPath $sums | Where-Object { $_ -match "^[0-9a-f]{64}  photosync-$wanted-$target\.zip$" })
  if ($found.Count -eq 0) { throw "$source has no release $Version for Windows" }
  if ($found.Count -gt 1) { throw "$source has several releases; choose with -Version" }
  $sum, $name = $found[0] -split '  ', 2
  $zip = Join-Path $Work $name
  Fetch "$source/$name" $zip
  if ((Digest $zip) -ne $sum) { throw "$name is damaged or was changed: its checksum is not the signed one; nothing was installed" }
  Expand-Archive -LiteralPath $zip -DestinationPath $Work
  return (Join-Path $Work ($name -replace '\.zip$', ''))
}

# Makes a release out of a checkout; returns its folder.
function Build-Release([string]$Work) {
  $checkout = $From
  if (-not $checkout) {
    if (-not $self) { throw 'say which checkout: -From DIR' }
    $checkout = Split-Path -Parent $self
  }
  if (-not (Test-Path -LiteralPath (Join-Path $checkout 'Cargo.toml'))) { throw "$checkout is no checkout of PhotoSync" }
  Push-Location -LiteralPath $checkout
  try {
    & cargo build --quiet --release --locked -p photosync-server -p photosync-client -p photosync-tray | Out-Host
    if ($LASTEXITCODE -ne 0) { throw 'cargo could not build it' }
  }
  finally { Pop-Location }
  $built = Join-Path $checkout 'target'
  if ($env:CARGO_TARGET_DIR) { $built = $env:CARGO_TARGET_DIR }
  $release = Join-Path $Work 'release'
  $null = New-Item -ItemType Directory -Path "$release\bin", "$release\doc"
  Copy-Item -Path "$built\release\photosync.exe", "$built\release\photosync-server.exe", "$built\release\photosync-tray.exe" -Destination "$release\bin"
  Copy-Item -Path "$checkout\LICENSE", "$checkout\README.md", "$checkout\install.ps1" -Destination "$release\doc"
  return $release
}

# What an earlier run wrote: path below the prefix -> its checksums. While an upgrade is under way a path has two.
function Read-List([string]$List) {
  $known = @{}
  if (Test-Path -LiteralPath $List) {
    foreach ($line in (Get-Content -LiteralPath $List)) {
      $sum, $path = $line -split ' ', 2
      if (-not $known.ContainsKey($path)) { $known[$path] = @() }
      $known[$path] += $sum
    }
  }
  return $known
}

# Ends the programs of this installation: the tray at once, servers in order.
function Stop-Programs {
  if (Get-Service -Name PhotoSync -ErrorAction SilentlyContinue) { Stop-Service -Name PhotoSync -ErrorAction SilentlyContinue }
  $ours = { $_.Path -and $_.Path.StartsWith("$Prefix\bin\", 'OrdinalIgnoreCase') }
  Get-Process -Name photosync-tray -ErrorAction SilentlyContinue | Where-Object $ours | Stop-Process -Force
  if ($Desktop -and (Test-Path -LiteralPath "$Prefix\bin\photosync-server.exe")) {
    & "$Prefix\bin\photosync-server.exe" stop @dataWords | Out-Null
  }
  Get-Process -Name 'photosync', 'photosync-server' -ErrorAction SilentlyContinue | Where-Object $ours | Stop-Process -Force
}

function Remove-Own([string]$Path, $Sums) {
  $full = Join-Path $Prefix $Path
  if (-not (Test-Path -LiteralPath $full)) { return }
  if ($Sums -notcontains (Digest $full)) {
    Write-Warning "$full was changed since it was installed: left alone"
    return
  }
  Did "remove $full"
  if (-not $DryRun) { Remove-Item -LiteralPath $full -Force }
}

function Install-Release([string]$Work) {
  if ($FromSource) { $release = Build-Release $Work } else { $release = Get-Release $Work }
  $list = Join-Path $Prefix 'installed.txt'
  $known = Read-List $list
  $plan = @(Get-ChildItem -LiteralPath $release -Recurse -File | ForEach-Object {
      New-Object -TypeName psobject -Property @{
        Source = $_.FullName; Path = $_.FullName.Substring($release.Length + 1); Sum = (Digest $_.FullName)
      }
    })
  # Every file that is in the way is looked at before the first one is written.
  foreach ($file in $plan) {
    $full = Join-Path $Prefix $file.Path
    if (-not (Test-Path -LiteralPath $full)) { continue }
    $now = Digest $full
    if ($now -ne $file.Sum -and -not ($known.ContainsKey($file.Path) -and $known[$file.Path] -contains $now)) {
      throw "$full was not written by this script, or was changed since. Move it away, then try again; nothing was changed"
    }
  }
  $lines = @($plan | ForEach-Object { "$($_.Sum) $($_.Path)" })
  if (-not $DryRun) {
    $null = New-Item -ItemType Directory -Force -Path $Prefix
    $older = @($known.Keys | ForEach-Object { $path = $_; $known[$path] | ForEach-Object { "$_ $path" } })
    Set-Content -LiteralPath $list -Encoding UTF8 -Value (@($lines + $older) | Sort-Object -Unique)
    Stop-Programs
  }
  foreach ($file in $plan) {
    $full = Join-Path $Prefix $file.Path
    if ((Test-Path -LiteralPath $full) -and (Digest $full) -eq $file.Sum) { continue }
    Did "write $full"
    if ($DryRun) { continue }
    $null = New-Item -ItemType Directory -Force -Path (Split-Path -Parent $full)
    Copy-Item -LiteralPath $file.Source -Destination $full -Force
  }
  $kept = @($plan | ForEach-Object { $_.Path })
  foreach ($path in @($known.Keys)) { if ($kept -notcontains $path) { Remove-Own $path $known[$path] } }
  if ($DryRun) { return }
  Set-Content -LiteralPath $list -Encoding UTF8 -Value $lines
  Register-Uninstall
  if ($Server) {
    & "$Prefix\bin\photosync-server.exe" install-service @dataWords
    if ($LASTEXITCODE -ne 0) { throw 'the service was not set up; the lines above say why' }
    Write-Output "Next: type http://$($env:COMPUTERNAME):3000 into the phone app (Local Network, then Create Account)."
    return
  }
  Save-Shortcut
  $tray = @{ FilePath = "$Prefix\bin\photosync-tray.exe" }
  if ($quotedWords) { $tray.ArgumentList = $quotedWords }
  Start-Process @tray
  Write-Output 'Next: the icon beside the clock shows the addresses for the phone; "Launch at login" is in its menu.'
}

function Save-Shortcut {
  $shortcut = (New-Object -ComObject WScript.Shell).CreateShortcut($startMenu)
  $shortcut.TargetPath = "$Prefix\bin\photosync-tray.exe"
  $shortcut.Arguments = $quotedWords -join ' '
  $shortcut.Save()
}

# What Windows lists under its installed apps.
function Register-Uninstall {
  $how = '-Desktop'
  if ($Server) { $how = '-Server' }
  $command = "powershell.exe -NoProfile -ExecutionPolicy Bypass -File `"$Prefix\doc\install.ps1`" $how -Uninstall -Prefix `"$Prefix`""
  if ($Data) { $command += " -Data `"$Data`"" }
  $null = New-Item -Path $uninstallKey -Force
  $values = @{
    DisplayName = 'PhotoSync'; Publisher = 'PhotoSync'; DisplayIcon = "$Prefix\bin\photosync-tray.exe"
    InstallLocation = $Prefix; UninstallString = $command; QuietUninstallString = $command
  }
  foreach ($name in $values.Keys) { Set-ItemProperty -Path $uninstallKey -Name $name -Value $values[$name] }
  foreach ($name in 'NoModify', 'NoRepair') { Set-ItemProperty -Path $uninstallKey -Name $name -Value 1 -Type DWord }
}

function Uninstall-Release {
  $list = Join-Path $Prefix 'installed.txt'
  if (-not (Test-Path -LiteralPath $list)) { throw "there is nothing to remove: no $list" }
  $known = Read-List $list
  if (-not $DryRun) {
    Stop-Programs
    if ($Server) {
      & "$Prefix\bin\photosync-server.exe" uninstall-service
      if ($LASTEXITCODE -ne 0) { throw 'the service could not be removed; nothing else was' }
    }
  }
  foreach ($path in @($known.Keys)) { Remove-Own $path $known[$path] }
  if ($DryRun) { return }
  $run = 'HKCU:\Software\Microsoft\Windows\CurrentVersion\Run'
  $start = (Get-ItemProperty -Path $run -Name PhotoSync -ErrorAction SilentlyContinue)
  if ($start -and $start.PhotoSync -like "*$Prefix\bin\*") { Remove-ItemProperty -Path $run -Name PhotoSync }
  Remove-Item -LiteralPath $list, $startMenu -Force -ErrorAction SilentlyContinue
  Remove-Item -Path $uninstallKey -Recurse -ErrorAction SilentlyContinue
  # Folders only where they are ours by name, and only if they are empty.
  foreach ($folder in "$Prefix\bin", "$Prefix\doc", $Prefix) {
    if ((Test-Path -LiteralPath $folder) -and -not (Get-ChildItem -LiteralPath $folder -Force)) { Remove-Item -LiteralPath $folder }
  }
  Write-Output "PhotoSync is removed. Photos and settings stay in $photos."
}

# What it sets here, everything that it calls sees: PowerShell looks for variables among the callers.
function Install-PhotoSync {
  if ($Server -and $Desktop) { throw 'choose one of -Server and -Desktop' }
  # The usual folders tell which of the two there is.
  if ($Uninstall -and -not $Server -and -not $Desktop) {
    if (Get-Service -Name PhotoSync -ErrorAction SilentlyContinue) { $Server = $true } else { $Desktop = $true }
  }
  if (-not $Server -and -not $Desktop) { throw 'say -Server or -Desktop; the first lines of this script explain both' }
  # PowerShell 5.1 may still offer older ones only.
  [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
  if ($Server) {
    $who = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $DryRun -and -not $who.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
      throw 'a service needs an administrator: start PowerShell with "Run as administrator"'
    }
    if (-not $Prefix) { $Prefix = Join-Path $env:ProgramFiles 'PhotoSync' }
    $photos = Join-Path $env:ProgramData 'PhotoSync'
    $uninstallKey = 'HKLM:\Software\Microsoft\Windows\CurrentVersion\Uninstall\PhotoSyncServer'
  }
  else {
    if (-not $Prefix) { $Prefix = Join-Path $env:LOCALAPPDATA 'Programs\PhotoSync' }
    $photos = Join-Path $env:LOCALAPPDATA 'PhotoSync'
    $uninstallKey = 'HKCU:\Software\Microsoft\Windows\CurrentVersion\Uninstall\PhotoSync'
  }
  $Prefix = [IO.Path]::GetFullPath($Prefix).TrimEnd('\')
  $startMenu = Join-Path ([Environment]::GetFolderPath('Programs')) 'PhotoSync.lnk'
  $dataWords = @()
  $quotedWords = @()
  if ($Data) {
    $photos = [IO.Path]::GetFullPath($Data).TrimEnd('\')
    $dataWords = @('--data', $photos)
    $quotedWords = @('--data', "`"$photos`"")
  }
  if ($Uninstall) { Uninstall-Release; return }
  $work = Join-Path ([IO.Path]::GetTempPath()) "photosync-install-$([Guid]::NewGuid().ToString('N'))"
  $null = New-Item -ItemType Directory -Path $work
  try { Install-Release $work }
  finally { Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction SilentlyContinue }
}

# The last line: a download that was cut off does nothing.
Install-PhotoSync
