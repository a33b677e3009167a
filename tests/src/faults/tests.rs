//! Each fault, on a connection to an echo.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::{Fault, FaultProxy, Script, Step, Way};

/// For what should happen, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what should not.
const QUIET: Duration = Duration::from_millis(100);

async fn echo() -> Result<FaultProxy> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Ok(FaultProxy::start(address, 7).await?)
}

async fn said(stream: &mut TcpStream, text: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(text).await?;
    heard(stream, text.len()).await
}

async fn heard(stream: &mut TcpStream, len: usize) -> Result<Vec<u8>> {
    let mut answer = vec![0; len];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    Ok(answer)
}

#[tokio::test]
async fn without_a_fault_everything_passes_and_ends() -> Result<()> {
    let proxy = echo().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    assert_eq!(said(&mut stream, b"hello").await?, b"hello");
    stream.shutdown().await?;
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 1])).await??, 0);
    assert_eq!(proxy.accepted(), 1);
    Ok(())
}

#[tokio::test]
async fn latency_bandwidth_and_drips_take_their_time() -> Result<()> {
    let proxy = echo().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    for (fault, least) in [
        (Fault::Latency { ms: 40, jitter_ms: 5 }, 80),
        (Fault::Bandwidth { bytes_per_second: 100 }, 80),
        (Fault::Drip { every_ms: 8 }, 80),
    ] {
        proxy.impose(fault, Way::Both);
        let began = Instant::now();
        assert_eq!(said(&mut stream, b"0123456789").await?, b"0123456789");
        assert!(began.elapsed() >= Duration::from_millis(least), "{fault} took {:?}", began.elapsed());
        proxy.heal();
    }
    Ok(())
}

#[tokio::test]
async fn a_reset_comes_after_its_bytes_and_ends_the_connection() -> Result<()> {
    let proxy = echo().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    proxy.impose(Fault::Reset { after_bytes: 4 }, Way::Up);
    stream.write_all(b"123456").await?;
    let mut all = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut all)).await?;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(b"1234".starts_with(&all[..]), "{all:?}");
    Ok(())
}

#[tokio::test]
async fn a_black_hole_delays_and_a_half_open_peer_never_comes_back() -> Result<()> {
    let proxy = echo().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    assert_eq!(said(&mut stream, b"a").await?, b"a");
    proxy.impose(Fault::BlackHole, Way::Down);
    stream.write_all(b"b").await?;
    assert!(timeout(QUIET, stream.read(&mut [0; 1])).await.is_err());
    proxy.heal();
    assert_eq!(heard(&mut stream, 1).await?, b"b");
    proxy.impose(Fault::HalfOpen, Way::Both);
    stream.write_all(b"c").await?;
    assert!(timeout(QUIET, stream.read(&mut [0; 1])).await.is_err());
    proxy.heal();
    assert!(timeout(QUIET, stream.read(&mut [0; 1])).await.is_err());
    let mut another = TcpStream::connect(proxy.address()).await?;
    assert_eq!(said(&mut another, b"d").await?, b"d");
    Ok(())
}

#[tokio::test]
async fn flips_turn_single_bits_and_come_from_the_seed() -> Result<()> {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let proxy = echo().await?;
        proxy.impose(Fault::Flip { one_in: 2 }, Way::Up);
        let mut stream = TcpStream::connect(proxy.address()).await?;
        let answer = said(&mut stream, &[0; 64]).await?;
        assert!(answer.iter().all(|byte| byte.count_ones() <= 1), "{answer:?}");
        assert!(answer.iter().any(|byte| *byte != 0));
        seen.push(answer);
    }
    assert_eq!(seen[0], seen[1]);
    Ok(())
}

#[test]
fn a_script_comes_from_its_seed_and_can_be_written_down() {
    let script = Script::random(11, Duration::from_secs(60));
    assert_eq!(script, Script::random(11, Duration::from_secs(60)));
    assert_ne!(script, Script::random(12, Duration::from_secs(60)));
    assert_eq!(script.to_string().parse(), Ok(script.clone()));
    let step =
        Step { fault: Fault::Latency { ms: 200, jitter_ms: 0 }, way: Way::Up, lasts: Duration::from_secs(5) };
    assert_eq!("latency=200 up for 5000".parse(), Ok(Script(vec![step])));
    for bad in ["", "latency for 5", "latency=1 sideways for 5", "earthquake for 5", "none"] {
        assert!(bad.parse::<Script>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_script_is_played_and_healed() -> Result<()> {
    let proxy = echo().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    let script: Script = "black-hole for 50, drip=1 down for 50".parse().map_err(anyhow::Error::msg)?;
    let (played, answer) = tokio::join!(proxy.play(&script), said(&mut stream, b"hello"));
    assert_eq!((played, answer?), ((), b"hello".to_vec()));
    Ok(())
}
