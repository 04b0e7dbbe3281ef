//! Reads what a coordinator serves to Prometheus.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For a page.
const LIMIT: Duration = Duration::from_secs(10);

/// The metrics page of the coordinator that serves it at `host:port`.
///
/// # Errors
/// If there is none.
pub async fn page(address: &str) -> Result<String> {
    let fetching = async {
        let mut connection = TcpStream::connect(address).await?;
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(LIMIT, fetching).await.with_context(|| format!("{address} does not answer"))?;
    let answer = answer.with_context(|| format!("read the metrics of {address}"))?;
    let (head, page) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{address} answers {}", head.lines().next().unwrap_or_default());
    Ok(page.to_owned())
}

/// A metric, all its labels together; `None` when the page does not have it.
#[must_use]
pub fn sum_of(page: &str, name: &str) -> Option<f64> {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_whole_name = rest.starts_with(['{', ' ']);
        rest.rsplit_once(' ').filter(|_| is_whole_name)?.1.parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_summed_and_longer_names_are_others() {
        let page = "# HELP debt x\n# TYPE debt gauge\ndebt{database=\"log\"} 10\ndebt{database=\"state\"} 2.5\ndebts 7\nplain 3\n";
        assert_eq!((sum_of(page, "debt"), sum_of(page, "plain"), sum_of(page, "other")), (Some(12.5), Some(3.0), None));
    }

    #[tokio::test]
    async fn a_page_is_read_and_an_error_is_told() -> Result<()> {
        for (answer, expected) in [("HTTP/1.0 200 OK\r\n\r\na 1\n", Some("a 1\n")), ("HTTP/1.0 404 No\r\n\r\n", None)] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?.to_string();
            let serving = tokio::spawn(async move {
                let (mut connection, _) = listener.accept().await?;
                let mut request = [0; 1024];
                let _bytes = connection.read(&mut request).await?;
                connection.write_all(answer.as_bytes()).await
            });
            assert_eq!(page(&address).await.ok().as_deref(), expected);
            serving.await??;
        }
        Ok(())
    }
}
