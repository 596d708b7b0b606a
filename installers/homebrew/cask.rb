# The icon in the menu bar with server and client, from the signed release. Filled in by installers/homebrew/build.
cask "photosync-desktop" do
  arch arm: "aarch64", intel: "x86_64"

  version "@VERSION@"
  sha256 arm:   "@SHA256:PhotoSync-@VERSION@-aarch64.dmg@",
         intel: "@SHA256:PhotoSync-@VERSION@-x86_64.dmg@"

  url "@DOWNLOAD@/PhotoSync-#{version}-#{arch}.dmg"
  name "PhotoSync"
  desc "Photo backup server of this computer, with an icon in the menu bar"
  homepage "@HOMEPAGE@"

  depends_on macos: ">= :big_sur"

  app "PhotoSync.app"
  binary "#{appdir}/PhotoSync.app/Contents/MacOS/photosync"

  uninstall quit: "photosync.desktop"

  # Neither photos nor settings: ~/Library/Application Support/PhotoSync may be the only copy.
  zap trash: "~/Library/Logs/photosync.log"
end
