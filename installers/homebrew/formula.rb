# Server and client from the signed release. Filled in by installers/homebrew/build.
class Photosync < Formula
  desc "Photo backup server for phones and computers, and its client"
  homepage "@HOMEPAGE@"
  version "@VERSION@"
  license "MIT"

  on_macos do
    on_arm do
      url "@DOWNLOAD@/photosync-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@SHA256:photosync-@VERSION@-aarch64-apple-darwin.tar.gz@"
    end
    on_intel do
      url "@DOWNLOAD@/photosync-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@SHA256:photosync-@VERSION@-x86_64-apple-darwin.tar.gz@"
    end
  end

  on_linux do
    on_arm do
      url "@DOWNLOAD@/photosync-@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:photosync-@VERSION@-aarch64-unknown-linux-gnu.tar.gz@"
    end
    on_intel do
      url "@DOWNLOAD@/photosync-@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:photosync-@VERSION@-x86_64-unknown-linux-gnu.tar.gz@"
    end
  end

  def install
    bin.install "bin/photosync-server", "bin/photosync"
    doc.install Dir["doc/*"]
    # Read by the program itself: a newer version comes from here.
    (lib/"photosync").mkpath
    (lib/"photosync/installed-by").write "brew\n"
  end

  service do
    run [opt_bin/"photosync-server", "serve"]
    keep_alive successful_exit: false
    log_path var/"log/photosync.log"
    error_log_path var/"log/photosync.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/photosync-server --version")
  end
end
